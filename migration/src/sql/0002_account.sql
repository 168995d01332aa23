-- Users, how they sign in, their sessions, and the keys.

CREATE TABLE app_user (
    owner_id       uuid NOT NULL REFERENCES owner (id),
    id             uuid NOT NULL,
    name           text CHECK (length(name) <= 200),
    time_zone      text NOT NULL DEFAULT 'UTC' CHECK (length(time_zone) <= 64),
    phone_region   text CHECK (phone_region ~ '^[A-Z]{2}$'),
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT app_user_id UNIQUE (id)
);
COMMENT ON COLUMN app_user.phone_region IS 'ISO 3166 country that phone numbers without one are read in.';
CALL make_account('app_user');
GRANT SELECT ON app_user TO crm_viewer;
GRANT UPDATE (name, time_zone, phone_region) ON app_user TO crm_viewer;

CREATE TABLE user_email (
    owner_id     uuid NOT NULL,
    id           uuid NOT NULL,
    user_id      uuid NOT NULL,
    address      text NOT NULL,
    canonical    text NOT NULL,
    verified_at  timestamptz,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT user_email_canonical UNIQUE (canonical),
    CONSTRAINT user_email_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX user_email_by_user ON user_email (owner_id, user_id);
CALL make_account('user_email');
GRANT SELECT ON user_email TO crm_viewer;

-- A mailed sign-in link. It has no owner: the address may be nobody's yet.
CREATE TABLE sign_in_link (
    id            uuid PRIMARY KEY,
    address       text NOT NULL,
    canonical     text NOT NULL,
    browser_hash  bytea NOT NULL,
    token_hash    bytea NOT NULL,
    root_key      text NOT NULL,
    return_to     text NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    attempts      smallint NOT NULL DEFAULT 0,
    spent_at      timestamptz
);
CREATE INDEX sign_in_link_canonical ON sign_in_link (canonical, created_at);
CREATE INDEX sign_in_link_expiry ON sign_in_link (expires_at);
ALTER TABLE sign_in_link ENABLE ROW LEVEL SECURITY;
CREATE POLICY sign_in ON sign_in_link TO crm_auth USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_link TO crm_auth;

CREATE TABLE session (
    owner_id          uuid NOT NULL,
    id                uuid NOT NULL,
    user_id           uuid NOT NULL,
    method            text NOT NULL CHECK (method IN ('email_link', 'development')),
    created_at        timestamptz NOT NULL,
    authenticated_at  timestamptz NOT NULL,
    last_used_at      timestamptz NOT NULL,
    idle_until        timestamptz NOT NULL,
    expires_at        timestamptz NOT NULL,
    ended_at          timestamptz,
    generation        integer NOT NULL DEFAULT 0,
    current_hash      bytea NOT NULL,
    previous_hash     bytea,
    rotated_at        timestamptz NOT NULL,
    user_agent        text CHECK (length(user_agent) <= 500),
    address           text CHECK (length(address) <= 64),
    PRIMARY KEY (owner_id, id),
    CONSTRAINT session_id UNIQUE (id),
    CONSTRAINT session_of_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX session_by_user ON session (owner_id, user_id);
CALL make_account('session');
GRANT SELECT (owner_id, id, user_id, method, created_at, authenticated_at, last_used_at, idle_until, expires_at,
    ended_at, user_agent, address) ON session TO crm_viewer;

-- Raises unless the session is the open transaction's own and still good. Called in the round trip
-- that opens the transaction, so that an ended session is refused on its next request.
CREATE FUNCTION assert_session(session_id uuid, at timestamptz) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM 1 FROM session s
    WHERE s.owner_id = current_owner() AND s.id = session_id AND s.user_id = current_user_id()
      AND s.ended_at IS NULL AND s.idle_until > at AND s.expires_at > at;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the session has ended' USING ERRCODE = 'CRM01';
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION assert_session(uuid, timestamptz) TO crm_viewer;

-- The keys that sign access tokens. Private halves are sealed under a root key.
CREATE TABLE signing_key (
    id            text PRIMARY KEY,
    environment   text NOT NULL,
    algorithm     text NOT NULL CHECK (algorithm IN ('EdDSA')),
    public_key    bytea NOT NULL,
    private_key   bytea NOT NULL,
    root_key      text NOT NULL,
    created_at    timestamptz NOT NULL,
    signs_from    timestamptz NOT NULL,
    retired_at    timestamptz
);
ALTER TABLE signing_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY sign_in ON signing_key TO crm_auth USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_key TO crm_auth;

-- The keys that an owner's private text is sealed with, themselves wrapped under a root key.
CREATE TABLE data_key (
    owner_id    uuid NOT NULL REFERENCES owner (id),
    purpose     text NOT NULL CHECK (purpose IN ('seal', 'index')),
    version     integer NOT NULL CHECK (version > 0),
    wrapped     bytea NOT NULL,
    root_key    text NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (owner_id, purpose, version)
);
CALL make_machinery('data_key');
GRANT SELECT ON data_key TO crm_viewer;
CREATE POLICY sign_in ON data_key FOR INSERT TO crm_auth WITH CHECK (true);
GRANT INSERT ON data_key TO crm_auth;
