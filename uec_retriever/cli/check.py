"""`uec check` and `uec repair`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from uec_retriever.cli.common import (
    BATCH,
    COLLECTION,
    DATABASE,
    DEVICE,
    HEADER,
    INDEX,
    JSON,
    MOVED,
    SERVER,
    TENANT,
    TRUST,
    bar,
    errors,
    locate,
    moved_experts,
    output,
    print_json,
    status,
)
from uec_retriever.cli.startup import without_collecting


def check(
    index: INDEX,
    server: SERVER = None,
    header: HEADER = None,
    tenant: TENANT = None,
    database: DATABASE = None,
    collection: COLLECTION = "uec",
    json: JSON = False,
) -> None:
    """Search for every text by its own vector, and look at the files. Loads no model; exit code 1 if something is wrong."""
    with status("Opening the index"), without_collecting():
        from uec_retriever.engine.check import check_index
        from uec_retriever.engine.open import open_store

        location = locate(index, server, header, collection, tenant, database)
        _, store, _ = open_store(location)
        count = store.count()
        store.close()
    with bar("Searching for every text", count) as progress:
        checked = check_index(location, progress=progress)
    if json:
        print_json(asdict(checked))
    else:
        for problem in checked.problems:
            errors.print(problem, soft_wrap=True)
        if not checked.problems:
            output.print(f"{checked.count} texts, all of them found")
    if checked.problems:
        raise typer.Exit(1)


def repair(
    index: INDEX,
    expert: MOVED = None,
    collection: COLLECTION = "uec",
    device: DEVICE = None,
    batch_size: BATCH = 32,
    trust_remote_code: TRUST = False,
    json: JSON = False,
) -> None:
    """Have searches find every text again: put all vectors into Chroma's log, and make its graph anew from that.

    Once done, no kill and no full disk can lose a vector. Texts are embedded anew only if an older version stored them
    and their vectors are lost. To repair what a server serves, stop it and give the folder that it served.
    """
    with status("Opening the index"), without_collecting():
        from uec_retriever.engine.check import count_unprotected, repair_index

        location = locate(index, None, None, collection)
        total = count_unprotected(location)
    with bar("Putting vectors into the log", total) as progress:
        report = repair_index(
            location,
            experts=moved_experts(expert),
            device=device,
            trust_remote_code=trust_remote_code,
            batch_size=batch_size,
            progress=progress,
        )
    if json:
        print_json(asdict(report))
        return
    output.print(
        f"{report.count} texts can be found; {report.logged} vectors put into the log, {report.embedded} texts embedded anew"
    )
