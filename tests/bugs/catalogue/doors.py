"""Bugs where operators and Celery come in: `celery/`, `cli/`, `django/`, `demo/`."""

from __future__ import annotations

from bugs.bug import Bug

BUGS = (
    Bug(
        "a change by Celery's remote control is recorded once",
        "each worker records it", "celery/control.py",
        "return {view.queue: chosen[view.queue] for view in views if wanted(view)}", "return chosen",
        "integration/adapters/test_control.py -k recorded_once",
    ),
    Bug(
        "a message of another namespace is passed on",
        "its namespace is not looked at", "celery/messages/misdirected.py",
        "return namespace is not None and ", "return False and ",
        "acceptance/test_projects.py -k namespaces",
    ),
    Bug(
        "our messages pass in any app",
        "they are JSON where the app accepts none", "celery/options.py",
        "    for name in (_SERIALIZER, str(app.conf.task_serializer), *accepted):",
        "    for name in (_SERIALIZER,):",
        "integration/adapters/test_setup.py -k any_app",
    ),
    Bug(
        "a quiet fleet's log is quiet",
        "beat's sweeps are logged", "celery/quiet.py",
        "        return args.get(\"name\") == SWEEP\n", "        return False\n",
        "acceptance/test_worker_log.py",
    ),
    Bug(
        "a card holds no password",
        "its URLs are whole", "celery/worker/describing.py",
        "name: mask_url(shown[name])", "name: shown[name]",
        "integration/operating/test_workers.py -k no_password",
    ),
    Bug(
        "the app that a worker or beat starts is set up",
        "an app that gets the tasks is not noted", "celery/worker/task.py",
        "        note_tasks(app)\n", "",
        "integration/adapters/test_setup.py -k app_that_starts",
    ),
    Bug(
        "a project's time limit cuts no POST off",
        "what it sets for all tasks reaches ours", "celery/worker/task.py",
        "        for option in (*_OWN, *_STATED):\n", "        for option in ():\n",
        "integration/adapters/test_setup.py -k reach_ours",
    ),
    Bug(
        "our tasks run with the app that runs them",
        "they run with the thread's current app", "celery/worker/tasks.py",
        "    worker = worker_of(self.app)\n    wakeup = ",
        "    from celery import current_app\n\n"
        "    worker = worker_of(current_app._get_current_object())\n    wakeup = ",
        "acceptance/test_projects.py -k 'app_that and threads'",
    ),
    Bug(
        "the SDK key that was typed as an argument is not shown again",
        "the error quotes it", "cli/changes/move.py",
        '"--to-key: there is no such file. It takes', 'f"--to-key: no file {path}. It takes',
        "integration/adapters/test_cli_move.py -k wrong_usage",
    ),
    Bug(
        "status exits 1 where something is wrong", "0", "cli/looks/status.py",
        "    if wrong:\n", "    if False:\n",
        "integration/adapters/test_status.py -k exits_1",
    ),
    Bug(
        "no name or event steers an operator's terminal",
        "JSON is printed with the control characters that it allows", "cli/shared/documents.py",
        "click.echo(json_for_terminals(text))", "click.echo(text)",
        "integration/adapters/test_hostile_text.py -k harms_no_output",
    ),
    Bug(
        "a watch outlives a Redis that is away", "it ends", "cli/shared/watching.py",
        "return self._without_redis(exc)", "raise",
        "integration/adapters/test_status.py -k goes_on",
    ),
    Bug(
        "a `vwo-celery dev` that is killed leaves no program",
        "its worker and beat go on", "demo/workbench.py",
        "[*death_bound_launcher(), sys.executable,", "[sys.executable,",
        "acceptance/test_dev.py -k killed",
    ),
)  # fmt: skip
