"""Every statement of the log as text.

Written by `python -m engine.eventlog.queries` from the module of that name, and not by hand.
"""

from __future__ import annotations

INSERT_EVENT = (
    "INSERT INTO events (seq, stream, version, type, schema, time_us, boot_id, actor, correlation, "
    "causation, data, documents, prev_hash, hash, latest_us) VALUES (:seq, :stream, :version, :type, "
    ":schema, :time_us, :boot_id, :actor, :correlation, :causation, :data, :documents, :prev_hash, :hash,"
    " :latest_us)"
)
LAST_EVENT = (
    "SELECT events.seq, events.hash, events.latest_us FROM events ORDER BY events.seq DESC LIMIT 1 OFFSET"
    " 0"
)
LATEST_US = (
    "SELECT events.latest_us FROM events WHERE events.seq = :seq"
)
STREAM_VERSION = (
    "SELECT max(events.version) AS max_1 FROM events WHERE events.stream = :stream"
)
EVENTS_OF_STRETCH = (
    "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
    "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
    "events.prev_hash, events.hash, events.latest_us FROM events WHERE events.seq >= :first AND "
    "events.seq <= :last ORDER BY events.seq"
)
EVENT_BEFORE = (
    "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
    "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
    "events.prev_hash, events.hash, events.latest_us FROM events WHERE events.seq < :first ORDER BY "
    "events.seq DESC LIMIT 1 OFFSET 0"
)
MISNUMBERED_EVENTS = (
    "SELECT placed.seq, placed.stream, placed.version, placed.version_before FROM (SELECT events.seq AS "
    "seq, events.stream AS stream, events.version AS version, lag(events.version, 1, 0) OVER (PARTITION "
    "BY events.stream ORDER BY events.version) AS version_before, lag(events.seq, 1, events.seq) OVER "
    "(PARTITION BY events.stream ORDER BY events.version) AS seq_before FROM events) AS placed WHERE "
    "placed.version != placed.version_before + 1 OR placed.seq < placed.seq_before"
)
FOLDED_EVENTS = (
    "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.data FROM "
    "events ORDER BY events.seq"
)
FIRST_EVENTS = (
    "SELECT events.stream, events.seq FROM events WHERE events.version = 1 AND events.stream >= :low AND "
    "events.stream < :high"
)
LABELLED = (
    "SELECT events.stream FROM events WHERE events.version = 1 AND json_extract(events.data, :path) = "
    ":wanted ORDER BY events.seq"
)
CORRELATED = (
    "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
    "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
    "events.prev_hash, events.hash FROM events WHERE events.correlation IN (SELECT events.correlation "
    "FROM events WHERE events.causation >= :low AND events.causation < :high) ORDER BY events.seq"
)
STORE_DOCUMENT = (
    "INSERT INTO documents (digest, kind, body) VALUES (:digest, :kind, :body) ON CONFLICT (digest, kind)"
    " DO UPDATE SET body = excluded.body WHERE documents.body IS NULL"
)
REDACT_DOCUMENT = (
    "UPDATE documents SET body=NULL WHERE documents.digest = :redacted"
)
DOCUMENT = (
    "SELECT documents.body FROM documents WHERE documents.digest = :digest LIMIT 1 OFFSET 0"
)
NAMING_EVENTS = (
    "SELECT events.seq, events.documents FROM events WHERE events.documents != '{}' ORDER BY events.seq"
)
ALL_DOCUMENTS = (
    "SELECT documents.digest, documents.kind, documents.body FROM documents"
)
PAGES = {
    (0, False): (
        "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
        "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
        "events.prev_hash, events.hash FROM events WHERE events.seq > :after AND events.seq <= :until ORDER "
        "BY events.seq LIMIT :limit OFFSET 0"
    ),
    (0, True): (
        "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
        "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
        "events.prev_hash, events.hash FROM events WHERE events.seq > :after AND events.seq <= :until AND "
        "events.type IN (SELECT types.value FROM json_each(:types) AS types) ORDER BY events.seq LIMIT :limit"
        " OFFSET 0"
    ),
    (1, False): (
        "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
        "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
        "events.prev_hash, events.hash FROM events WHERE events.seq > :after AND events.seq <= :until AND "
        "events.stream = :stream ORDER BY events.version LIMIT :limit OFFSET 0"
    ),
    (1, True): (
        "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
        "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
        "events.prev_hash, events.hash FROM events WHERE events.seq > :after AND events.seq <= :until AND "
        "events.stream = :stream AND events.type IN (SELECT types.value FROM json_each(:types) AS types) "
        "ORDER BY events.version LIMIT :limit OFFSET 0"
    ),
    (2, False): (
        "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
        "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
        "events.prev_hash, events.hash FROM json_each(:streams) AS streams CROSS JOIN events ON events.stream"
        " = streams.value WHERE events.seq > :after AND events.seq <= :until ORDER BY events.seq LIMIT :limit"
        " OFFSET 0"
    ),
    (2, True): (
        "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
        "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
        "events.prev_hash, events.hash FROM json_each(:streams) AS streams CROSS JOIN events ON events.stream"
        " = streams.value WHERE events.seq > :after AND events.seq <= :until AND events.type IN (SELECT "
        "types.value FROM json_each(:types) AS types) ORDER BY events.seq LIMIT :limit OFFSET 0"
    ),
}
LAST_OF_TYPES = (
    "SELECT events.seq, events.stream, events.version, events.type, events.schema, events.time_us, "
    "events.boot_id, events.actor, events.correlation, events.causation, events.data, events.documents, "
    "events.prev_hash, events.hash FROM events WHERE events.stream = :stream AND events.type IN (SELECT "
    "types.value FROM json_each(:types) AS types) ORDER BY events.version DESC LIMIT 1 OFFSET 0"
)
TAKE_NAME = (
    "INSERT INTO names (noun, name, valid_from, valid_to, id) VALUES (:noun, :name, :valid_from, "
    ":valid_to, :id)"
)
RELEASE_NAME = (
    "UPDATE names SET valid_to=:seq WHERE names.noun = :noun AND names.name = :name AND names.valid_to IS"
    " NULL"
)
NAME_HOLDER = (
    "SELECT names.id FROM names WHERE names.noun = :noun AND names.name = :name AND names.valid_to IS "
    "NULL"
)
NAME_EVER = (
    "SELECT names.id, names.valid_from FROM names WHERE names.noun = :noun AND names.name = :name"
)
NAME_AS_OF = (
    "SELECT names.id, names.valid_to FROM names WHERE names.noun = :noun AND names.name = :name AND "
    "names.valid_from <= :moment ORDER BY names.valid_from DESC LIMIT 1 OFFSET 0"
)
NAMES_HELD = (
    "SELECT names.name FROM names WHERE names.noun = :noun AND names.name >= :low AND names.name < :high "
    "AND names.valid_to IS NULL"
)
LINK = (
    "INSERT INTO links (target, noun, id, valid_from, valid_to) VALUES (:target, :noun, :id, :valid_from,"
    " :valid_to)"
)
UNLINK = (
    "UPDATE links SET valid_to=:seq WHERE links.target = :target AND links.noun = :noun AND links.id = "
    ":id AND links.valid_to IS NULL"
)
LINKED = (
    "SELECT links.id FROM links WHERE links.target = :target AND links.noun = :noun AND links.valid_to IS"
    " NULL ORDER BY links.valid_from"
)
LINKED_EVER = (
    "SELECT DISTINCT links.id FROM links WHERE links.target = :target AND links.noun = :noun"
)
IS_FINGERPRINT = (
    "SELECT projections.fingerprint = :fingerprint AS anon_1 FROM projections"
)
SET_FINGERPRINT = (
    "INSERT INTO projections (fingerprint) VALUES (:fingerprint)"
)
OF_A_NOUN = {
    "row": (
        "SELECT {noun}_current.id, {noun}_current.version, {noun}_current.born, {noun}_current.since, "
        "{noun}_history.state FROM {noun}_current JOIN {noun}_history ON {noun}_history.valid_from = "
        "{noun}_current.since WHERE {noun}_current.id = :id"
    ),
    "set_current": (
        "INSERT INTO {noun}_current (id, version, born, since) VALUES (:id, :version, :born, :since) ON "
        "CONFLICT (id) DO UPDATE SET version = excluded.version, born = excluded.born, since = excluded.since"
    ),
    "drop_current": (
        "DELETE FROM {noun}_current WHERE {noun}_current.id = :id"
    ),
    "open_history": (
        "INSERT INTO {noun}_history (valid_from, valid_to, node, born, id, state) VALUES (:valid_from, "
        ":valid_to, :node, :born, :id, :state)"
    ),
    "close_history": (
        "UPDATE {noun}_history SET valid_to=:seq, node=:fork WHERE {noun}_history.valid_from = :since"
    ),
    "all": (
        "SELECT {noun}_history.state FROM {noun}_current JOIN {noun}_history ON {noun}_history.valid_from = "
        "{noun}_current.since ORDER BY {noun}_current.born"
    ),
    "all_as_of": (
        "SELECT {noun}_history.state, {noun}_history.born AS born FROM {noun}_current CROSS JOIN "
        "{noun}_history ON {noun}_history.valid_from = {noun}_current.since WHERE {noun}_history.valid_from "
        "<= :moment UNION ALL SELECT {noun}_history.state, {noun}_history.born AS born FROM json_each(:nodes)"
        " AS nodes CROSS JOIN {noun}_history ON {noun}_history.node = nodes.value WHERE {noun}_history.node "
        "IS NOT NULL AND {noun}_history.valid_from <= :moment AND {noun}_history.valid_to > :moment ORDER BY "
        "born"
    ),
    "state_as_of": (
        "SELECT {noun}_history.state FROM events JOIN {noun}_history ON {noun}_history.valid_from = "
        "events.seq WHERE events.stream = :stream AND events.seq <= :moment AND ({noun}_history.valid_to IS "
        "NULL OR {noun}_history.valid_to > :moment) ORDER BY events.version DESC LIMIT 1 OFFSET 0"
    ),
    "by_name": (
        "SELECT {noun}_history.state FROM names JOIN {noun}_current ON {noun}_current.id = names.id JOIN "
        "{noun}_history ON {noun}_history.valid_from = {noun}_current.since WHERE names.noun = :noun AND "
        "names.name = :name AND names.valid_to IS NULL"
    ),
    "by_prefix": (
        "SELECT {noun}_history.state FROM {noun}_current JOIN {noun}_history ON {noun}_history.valid_from = "
        "{noun}_current.since WHERE {noun}_current.id >= :low AND {noun}_current.id < :high ORDER BY "
        "{noun}_current.id LIMIT :limit OFFSET 0"
    ),
    "by_prefix_as_of": (
        "SELECT {noun}_history.state, {noun}_history.born AS born FROM {noun}_current CROSS JOIN "
        "{noun}_history ON {noun}_history.valid_from = {noun}_current.since WHERE {noun}_history.valid_from "
        "<= :moment AND {noun}_history.id >= :low AND {noun}_history.id < :high UNION ALL SELECT "
        "{noun}_history.state, {noun}_history.born AS born FROM json_each(:nodes) AS nodes CROSS JOIN "
        "{noun}_history ON {noun}_history.node = nodes.value WHERE {noun}_history.node IS NOT NULL AND "
        "{noun}_history.valid_from <= :moment AND {noun}_history.valid_to > :moment AND {noun}_history.id >= "
        ":low AND {noun}_history.id < :high ORDER BY born"
    ),
}
