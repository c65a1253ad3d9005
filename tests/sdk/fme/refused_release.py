"""An old release of the FME SDK that lacks a part: `make sdk-matrix` runs this on real ones."""

from __future__ import annotations

from importlib.metadata import version

from sdk.fme.conftest import PACKAGE


def test_the_release_is_refused_and_the_client_stays_as_it_was(application, settings, redis):
    """The error names the release, what it lacks, and releases that can be attached; so does init's."""
    told = application(
        """
        import vwo
        from vwo.services.settings_manager import SettingsManager
        # These releases have no option that would let them fetch their settings here.
        SettingsManager.get_settings = lambda self, *_, **__: F["settings"]
        client = vwo.init(OPTIONS)
        before = {**vars(client)}
        errors = []
        for work in (
            lambda: vwo_celery.attach(client, redis_url=REDIS_URL),
            lambda: vwo_celery.init(OPTIONS, redis_url=REDIS_URL),
        ):
            try:
                work()
            except vwo_celery.errors.SdkError as exc:
                errors.append(str(exc))
        tell(errors=errors, unchanged=vars(client) == before)
        """,
        settings=settings,
    )

    [by_attach, by_init] = told.facts["errors"]
    print(by_attach)
    assert by_attach.startswith(f"{PACKAGE} {version(PACKAGE)} cannot be put")
    assert f'pip install "{PACKAGE}>=1.21.0,<=' in by_attach
    assert by_init.startswith(f"{PACKAGE} {version(PACKAGE)} cannot be put")
    assert told.facts["unchanged"]
    assert redis.dbsize() == 0
