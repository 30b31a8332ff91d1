"""One verb over many records, in chunks that survive their workers: import is the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask


def init_app(app: APIFlask) -> None:
    """Register the pages and the API. Imported lazily: the edge imports no Flask."""
    from webapp.bulk_actions import (  # noqa: F401 (some add to another's)
        api,
        finished_imports,
        import_api,
        mapping_views,
        named_imports,
        show_views,
        tus_api,
        upload_views,
        views,
    )
    from webapp.bulk_actions.verbs import api as verb_api  # noqa: F401 (it adds to the API's)
    from webapp.bulk_actions.verbs import views as verb_views
    from webapp.extensions import csrf
    from webapp.records.imports import register_imports
    from webapp.visits.site_page.annotations import register as register_annotations

    register_imports(named_imports.IMPORTS)
    register_annotations(finished_imports.list_finished_imports)
    for blueprint in (api.blueprint, tus_api.blueprint):
        csrf.exempt(blueprint)  # a key in a header, never a cookie, speaks for the caller
        app.register_blueprint(blueprint)
    app.register_blueprint(views.blueprint)
    app.register_blueprint(upload_views.blueprint)
    app.register_blueprint(verb_views.blueprint)
