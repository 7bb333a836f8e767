"""Intern the names that repeat: text in, a small integer key out."""

from __future__ import annotations

from sqlite_utils import Database

from etl.normalise.application import APPLICATION_SOURCES, MANTLE_PROJECT
from etl.normalise.cloudtrail import endpoint_of
from etl.normalise.fields import NUL, SHOWN_NUL
from etl.normalise.identity import UNATTRIBUTED
from etl.normalise.model_ids import NOT_STATED, ModelNames, parse_model_id
from etl.warehouse.pseudonyms import Forgotten, forgotten_in
from etl.warehouse.secret import credential_hash, secret_of
from etl.warehouse.write.shown_names import Aliases, project_label, stored_aliases

# Sessions and metadata may be as many as the calls.
_MAX_CACHED = 50_000

# Teams that a migration stores: nothing names one, and usage that no call explains.
NO_TEAM_KEY, UNATTRIBUTED_TEAM = 0, 1

_SOURCE_RANKS = {source: rank for rank, source in enumerate(APPLICATION_SOURCES, 1)}

# Each table of names: its key, and the columns that identify a name.
_TABLES = {
    "accounts": ("account_key", ("account_id",)),
    "regions": ("region_key", ("region",)),
    "operations": ("operation_key", ("event_source", "event_name")),
    "principals": ("principal_key", ("principal_arn", "principal_type")),
    "sessions": ("session_key", ("session_name",)),
    "user_agents": ("user_agent_key", ("user_agent",)),
    "users": ("user_key", ("user_name",)),
    "applications": (
        "application_key",
        # source_rank: the precedence of the evidence, 1 the strongest; 0 without evidence
        ("application", "application_source", "source_rank", "team_key"),
    ),
    "teams": ("team_key", ("team", "team_source")),
    "credentials": ("credential_key", ("credential_hash",)),
    "error_codes": ("error_code_key", ("error_code",)),
    "providers": ("provider_key", ("provider",)),
    "projects": ("project_key", ("project",)),
    "source_addresses": ("source_address_key", ("source_address",)),
    "request_metadata": ("request_metadata_key", ("request_metadata",)),
    "guardrail_uses": ("guardrail_use_key", ("guardrail_use",)),
    "models": (
        "model_key",
        (
            *("endpoint", "model_id", "model_tail", "cloudwatch_model_id"),
            *("canonical_model_id", "inference_scope"),
        ),
    ),
    "metric_series": (
        "series_key",
        ("account_key", "region_key", "model_key", "metric", "metric_kind"),
    ),
}


class Names:
    """Keys of names, cached for the life of one connection.

    Call ``forget`` after a rollback: the database no longer has the keys created since.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._keys: dict[str, dict[tuple[object, ...], int]] = {table: {} for table in _TABLES}
        self._forgotten: Forgotten | None = None
        self._aliases: Aliases | None = None
        self._secret: str | None = None
        self._shown_applications: dict[int, str] = {}

    @property
    def db(self) -> Database:
        """The warehouse that has the names."""
        return self._db

    @property
    def aliases(self) -> Aliases:
        """The names to show for users."""
        if self._aliases is None:
            self._aliases = Aliases(stored_aliases(self._db))
        return self._aliases

    @property
    def forgotten(self) -> Forgotten:
        """The names that must not be stored again."""
        if self._forgotten is None:
            self._forgotten = forgotten_in(self._db)
        return self._forgotten

    def forget(self) -> None:
        """Empty the cache."""
        self._forgotten = self._aliases = None
        self.forget_labels()
        for keys in self._keys.values():
            keys.clear()

    def forget_labels(self) -> None:
        """Look up again which names applications are shown by."""
        self._shown_applications.clear()

    def account(self, account_id: str) -> int:
        return self._key("accounts", account_id)

    def region(self, region: str) -> int:
        return self._key("regions", region)

    def region_or_none(self, region: str | None) -> int | None:
        return None if region is None else self.region(region)

    def operation(self, event_source: str, event_name: str) -> int:
        return self._key("operations", event_source, event_name)

    def principal(self, principal_arn: str, principal_type: str) -> int:
        return self._key("principals", principal_arn, principal_type)

    def session(self, session_name: str | None) -> int | None:
        return None if session_name is None else self._key("sessions", session_name)

    def user_agent(self, user_agent: str | None) -> int | None:
        return None if user_agent is None else self._key("user_agents", user_agent)

    def user(self, user_name: str) -> int:
        is_new = (user_name,) not in self._keys["users"]
        key = self._key("users", user_name)
        if is_new:
            self._show("users", key, self.aliases.of(user_name))
        return key

    def application(
        self, application: str, application_source: str, team_key: int | None = None
    ) -> int:
        """Return the key of an application, or of an application of a team."""
        rank = _SOURCE_RANKS.get(application_source, 0)
        base_team = UNATTRIBUTED_TEAM if application_source == UNATTRIBUTED else NO_TEAM_KEY
        name = (application, application_source, rank, base_team if team_key is None else team_key)
        is_new = name not in self._keys["applications"]
        key = self._key("applications", *name)
        if is_new and application_source == MANTLE_PROJECT:
            self._show("applications", key, project_label(self._db, application))
        if is_new and name[-1] != base_team:
            self._db.conn.execute(
                "update applications set base_key = ? where application_key = ?",
                [self.application(application, application_source), key],
            )
        return key

    def shown_application(self, key: int) -> str:
        """Return the name that views show for an application, without its inference profile."""
        shown = self._shown_applications.get(key)
        if shown is None:
            (shown,) = self._db.conn.execute(
                "select coalesce(label, application) from applications where application_key = ?",
                [key],
            ).fetchone()
            self._shown_applications[key] = shown
        return str(shown)

    def rank_of(self, application_source: str) -> int:
        """Return the precedence of the evidence for an application."""
        return _SOURCE_RANKS.get(application_source, 0)

    def team(self, team: str, team_source: str) -> int:
        return self._key("teams", self.forgotten.text(team), team_source)

    def credential(self, access_key: str | int | None) -> int | None:
        """Return the key of an access key, by its id or by that key; None stays None."""
        if not isinstance(access_key, str):
            return access_key
        cached = self._keys["credentials"].get((access_key,))
        if cached is not None:
            return cached
        if self._secret is None:
            self._secret = secret_of(self._db)
        key = self._stored("credentials", (credential_hash(self._secret, access_key),))
        if len(self._keys["credentials"]) >= _MAX_CACHED:
            self._keys["credentials"].clear()
        self._keys["credentials"][(access_key,)] = key
        return key

    def provider(self, provider: str | None) -> int | None:
        return None if provider is None else self._key("providers", provider)

    def project(self, project: str | None) -> int | None:
        return None if project is None else self._key("projects", project)

    def source_address(self, source_address: str | None) -> int | None:
        return None if source_address is None else self._key("source_addresses", source_address)

    def error_code(self, error_code: str | None) -> int | None:
        return None if error_code is None else self._key("error_codes", error_code)

    def request_metadata(self, request_metadata: str | None) -> int | None:
        if request_metadata is None:
            return None
        return self._key("request_metadata", request_metadata)

    def guardrail_use(self, guardrail_use: str | None) -> int | None:
        return None if guardrail_use is None else self._key("guardrail_uses", guardrail_use)

    def model(self, model_id: str | None, event_source: str = "") -> int:
        """Return the key of a model id as sent, which differs for the two endpoints."""
        endpoint = endpoint_of(event_source)
        cached = self._keys["models"].get((model_id, endpoint))
        return self._add_model(model_id, endpoint) if cached is None else cached

    def _add_model(self, model_id: str | None, endpoint: str) -> int:
        names = parse_model_id(model_id)
        key = self._key(
            "models",
            endpoint,
            names.model_id,
            names.model_tail,
            names.cloudwatch_model_id,
            names.canonical_model_id,
            names.inference_scope,
        )
        _add_price_ids(self._db, key, names)
        self._db.conn.execute(
            "insert or ignore into model_input_forms"
            " select * from int_model_input_forms where model_key = ?",
            [key],
        )
        self._keys["models"][model_id, endpoint] = key
        return key

    def series(
        self, account_key: int, region_key: int, model_key: int, metric: str, metric_kind: str
    ) -> int:
        """Return the key of a CloudWatch series, and ensure a rate key for its tokens."""
        series = (account_key, region_key, model_key, metric, metric_kind)
        if series not in self._keys["metric_series"]:
            self._db.conn.execute(
                "insert or ignore into rate_keys (model_key, region_key, service_tier,"
                " min_input_tokens) values (?, ?, 'standard', 0)",
                [model_key, region_key],
            )
        return self._key("metric_series", *series)

    def _key(self, table: str, *values: object) -> int:
        keys = self._keys[table]
        key = keys.get(values)
        if key is None:
            key = self._stored(table, values)
            if len(keys) >= _MAX_CACHED:
                keys.clear()
            keys[values] = key
        return key

    def _stored(self, table: str, values: tuple[object, ...]) -> int:
        key, columns = _TABLES[table]
        values = tuple(v.replace(NUL, SHOWN_NUL) if isinstance(v, str) else v for v in values)
        conn = self._db.conn
        conn.execute(
            f"insert or ignore into {table} ({', '.join(columns)})"
            f" values ({', '.join('?' * len(values))})",
            values,
        )
        same = " and ".join(f"{column} = ?" for column in columns)
        (found,) = conn.execute(f"select {key} from {table} where {same}", values).fetchone()
        return int(found)

    def _show(self, table: str, key: int, shown: str | None) -> None:
        """Store the name to show for a name that is new, if it is another."""
        if shown is not None:
            column = "alias" if table == "users" else "label"
            self._db.conn.execute(
                f"update {table} set {column} = ?1 where {_TABLES[table][0]} = ?2"
                f" and {column} is null",
                [shown, key],
            )


def renew_model_names(db: Database) -> set[int]:
    """Read the ids of all stored models again, as this release understands them.

    Returns the keys of the models that have other names now, also by what their profile stands for.
    """
    before = _names_in_use(db)
    for key, model_id in db.execute("select model_key, model_id from models").fetchall():
        names = parse_model_id(None if model_id == NOT_STATED else model_id)
        db.conn.execute(
            "update models set model_tail = ?, cloudwatch_model_id = ?, canonical_model_id = ?,"
            " inference_scope = ? where model_key = ?",
            [*names[1:5], key],
        )
        db.conn.execute("delete from model_price_ids where model_key = ?", [key])
        _add_price_ids(db, key, names)
    return {key for key, *_ in before ^ _names_in_use(db)}


def _names_in_use(db: Database) -> set[tuple[int, str, str]]:
    return set(
        db.execute("select model_key, cloudwatch_model_id, canonical_model_id from int_models")
    )


def _add_price_ids(db: Database, key: int, names: ModelNames) -> None:
    db.conn.executemany(
        "insert or ignore into model_price_ids values (?, ?, ?)",
        [(key, rank, price_id) for rank, price_id in enumerate(names.price_model_ids, 1)],
    )
