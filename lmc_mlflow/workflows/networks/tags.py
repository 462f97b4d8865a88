"""Tags that a run shares with the networks it is made of."""

import hashlib
from collections.abc import Sequence

from lmc_mlflow.contract import MAX_TAG, SEE_MEMBERS, SETTING_TAGS, tag
from lmc_mlflow.query.networks import LoggedNetwork

INHERITED = (*SETTING_TAGS, "data_digest", "side")


def inherited_tags(origin: LoggedNetwork) -> dict[str, str]:
    """Give the tags for browsing that a network shares with the one it was made from."""
    tags = origin.run.data.tags
    return {tag(name): tags[tag(name)] for name in INHERITED if tag(name) in tags}


def joined_tags(networks: Sequence[LoggedNetwork], names: Sequence[str] = SETTING_TAGS) -> dict[str, str]:
    """Give the tags for browsing of a run over several networks: each value that they have, once."""
    found = {}
    for name in names:
        values = [network.run.data.tags.get(tag(name), "") for network in networks]
        different = dict.fromkeys(values)
        text = ", ".join(different)
        found[tag(name)] = text if len(text) <= MAX_TAG else f"{len(different)} values"
    return found


def members_tag(names: Sequence[str]) -> str:
    """Join the names of members, sources or networks, or give their number and digest where they are too many."""
    text = ",".join(names)
    if len(text) <= MAX_TAG:
        return text
    return f"{len(names)} members ({hashlib.sha256(text.encode()).hexdigest()[:16]}){SEE_MEMBERS}"
