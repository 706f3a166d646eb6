"""What a model version came from, as lineage edges. Pure."""

from __future__ import annotations

from gfedge.lineage.types import EdgeRow, Node, edge
from gfedge.registry.types import ModelVersionRow


def origins(row: ModelVersionRow) -> tuple[str, str]:
    """Ids of the training run and the dataset that the version's folder tells of; empty where it names none.

    A dataset is known by its digest too, where there is one: the same name may hold other pictures tomorrow.
    """
    training, dataset = (str(facts.get("name", "")) for facts in (row.training, row.dataset))
    digest = str(row.dataset.get("digest", "")).removeprefix("sha256:")[:12]
    return training, f"{dataset}@{digest}" if dataset and digest else dataset


def edges(row: ModelVersionRow) -> list[EdgeRow]:
    """dataset -> training run -> model version, as far as they are known, with the code that it ran; that of a run of ours hangs on the run."""
    this: Node = ("model_version", row.id)
    told: Node = ("training_run", origins(row)[0])
    found: list[tuple[Node, str, Node]] = []
    if row.source_run:
        found.append((("run", row.source_run), "produced", this))
    elif told[1]:
        found.append((told, "produced", this))
        if dataset := origins(row)[1]:
            found.append((("dataset", dataset), "trained", told))
        if commit := str(row.training.get("commit", "")):
            found.append((("commit", commit), "ran", told))
    if row.training_job:
        found.append((("training_job", row.training_job), "produced", this))
    if row.model_id:
        found.append((("logged_model", row.model_id), "registered", this))
    if row.dataset_id:
        found.append((("dataset", row.dataset_id), "trained", this))
    return [edge(source, relation, target, row.registered_at) for source, relation, target in found]
