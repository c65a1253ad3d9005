"""Deliberate bugs in metrics, for Prometheus and for OpenTelemetry."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "without Redis a scrape says so",
        "it fails", "metrics/measuring.py",
        "        return Reading(None, monotonic() - began)\n", "        raise\n",
        "integration/metrics/test_metrics.py -k redis_that_stops",
    ),
    Bug(
        "numbers of queues that are told as one are added up",
        "the greatest is told", "metrics/metric.py",
        '"sum": sum,', '"sum": max,',
        "integration/metrics/test_metrics.py -k told_as_one",
    ),
    Bug(
        "a bucket holds what is in all before it",
        "only what falls into it", "metrics/metric.py",
        "        below += count\n        found", "        below = count\n        found",
        "integration/metrics/test_metrics.py -k added_up_by_bucket",
    ),
    Bug(
        "an extra needs nothing of another extra",
        "metrics import a package of the console", "metrics/prometheus.py",
        "import re\n", "import re\n\nimport jinja2\n",
        "architecture/test_dependencies.py -k imports_are_declared",
    ),
    Bug(
        "a fault of ours spoils no other metrics",
        "it reaches the registry", "metrics/prometheus.py",
        "        except Exception as exc:\n            log_surprise",
        "        except OSError as exc:\n            log_surprise",
        "integration/metrics/test_metrics.py -k spoils_no_other",
    ),
    Bug(
        "one number is the same wherever it is told",
        "a metric counts dead letters as released", "metrics/table.py",
        '"released": view.released, ', '"released": view.released + view.dead, ',
        "integration/operating/test_one_number.py -k queue_holds",
    ),
    Bug(
        "words that Redis holds make no series",
        "each makes one", "metrics/table.py",
        "name = word if word in words else OTHER", "name = word",
        "integration/metrics/test_metrics.py -k make_no_series",
    ),
    Bug(
        "an alert sees the first drop for a reason",
        "the series begins with it", "metrics/table.py",
        "return {**words, **_closed(numbers, words)}",
        "return _closed(numbers, words)",
        "integration/metrics/test_metrics.py -k each_metric_of_the_table",
    ),
    Bug(
        "a moved batch lets no counter fall",
        "accepted is the ledger's", "metrics/table.py",
        "return queue.view.ledger.accepted + _moved(queue)", "return queue.view.ledger.accepted",
        "integration/metrics/test_metrics.py -k moved_batch",
    ),
    Bug(
        "a name that Redis holds spoils no scrape",
        "it is told as it is", "metrics/text.py",
        "return one_line(value).replace", "return value.replace",
        "integration/metrics/test_metrics.py -k spoils_no_scrape",
    ),
    Bug(
        "a quote in a name ends no label",
        "it ends it", "metrics/text.py",
        r"""r"\n").replace('"', r"\"")""", r"""r"\n")""",
        "unit/test_scrape_text.py -k each_byte",
    ),
    Bug(
        "one collection looks at Redis once",
        "each instrument looks", "otel.py",
        "_ONE_LOOK_SECONDS: Final = 1.0", "_ONE_LOOK_SECONDS: Final = 0.0",
        "integration/metrics/test_otel.py -k looks_once",
    ),
)  # fmt: skip
