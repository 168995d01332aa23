-- Signing in otherwise than by a mailed link, the second factor, API keys, and what was done with an
-- account.

-- Row-level security alone keeps owners apart. Of an account, a signed-in person sees and changes what is
-- their own, also when an owner has several users one day.
CREATE PROCEDURE make_own(t regclass, user_column name DEFAULT 'user_id') LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE POLICY own ON %s AS RESTRICTIVE TO crm_viewer, crm_account
        USING (%I = (SELECT NULLIF(current_setting(''app.user_id'', true), '''')::uuid))', t, user_column);
END $$;

GRANT SELECT ON environment, seaql_migrations TO crm_account;
GRANT EXECUTE ON FUNCTION current_owner(), current_user_id(), lock_owner(uuid) TO crm_account;
GRANT EXECUTE ON FUNCTION assert_session(uuid, timestamptz) TO crm_account;
GRANT EXECUTE ON FUNCTION enqueue_job(text, jsonb, text, timestamptz, integer, text) TO crm_account;

ALTER TABLE app_user
    ADD COLUMN passkey_required boolean NOT NULL DEFAULT false,
    ADD COLUMN deletion_requested_at timestamptz,
    ADD COLUMN delete_after timestamptz,
    ADD CONSTRAINT app_user_deletion CHECK ((deletion_requested_at IS NULL) = (delete_after IS NULL));
COMMENT ON COLUMN app_user.passkey_required IS 'Whether whoever signs in by something else presents a passkey too.';
COMMENT ON COLUMN app_user.delete_after IS 'When the account goes, unless its user changes their mind before.';
CREATE INDEX app_user_to_delete ON app_user (delete_after) WHERE delete_after IS NOT NULL;
CALL make_own('app_user', 'id');
GRANT SELECT, UPDATE (passkey_required, deletion_requested_at, delete_after) ON app_user TO crm_account;

CALL make_own('user_email');
GRANT SELECT, INSERT, DELETE ON user_email TO crm_account;

-- A link that adds an address to an account that is there.
ALTER TABLE sign_in_link
    ADD COLUMN owner_id uuid,
    ADD COLUMN user_id uuid,
    ADD CONSTRAINT sign_in_link_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE;
CREATE INDEX sign_in_link_by_user ON sign_in_link (owner_id, user_id) WHERE user_id IS NOT NULL;

-- Ends the open links of an address of the transaction's own user, which is about to go.
CREATE FUNCTION spend_links_of(email_id uuid, at timestamptz) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
    UPDATE sign_in_link l SET spent_at = at FROM user_email e
    WHERE e.owner_id = current_owner() AND e.user_id = current_user_id() AND e.id = email_id
      AND l.canonical = e.canonical AND l.spent_at IS NULL
$$;
GRANT EXECUTE ON FUNCTION spend_links_of(uuid, timestamptz) TO crm_account;

ALTER TABLE session
    DROP CONSTRAINT session_method_check,
    ADD CONSTRAINT session_method CHECK (method IN ('email_link', 'sso', 'passkey', 'development')),
    ADD COLUMN provider text CHECK (length(provider) <= 32),
    ADD COLUMN second_factor text CONSTRAINT session_second_factor CHECK (second_factor IN ('passkey', 'recovery_code'));
CALL make_own('session');
GRANT SELECT (provider, second_factor) ON session TO crm_viewer;
GRANT SELECT (owner_id, id, user_id, method, provider, second_factor, created_at, authenticated_at, last_used_at,
    idle_until, expires_at, ended_at, user_agent, address), UPDATE (ended_at) ON session TO crm_account;

-- Raises unless the session's user has authenticated since then.
CREATE FUNCTION assert_recent(session_id uuid, since timestamptz) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM 1 FROM session s
    WHERE s.owner_id = current_owner() AND s.id = session_id AND s.user_id = current_user_id()
      AND s.authenticated_at > since;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the last authentication is too long ago' USING ERRCODE = 'CRM03';
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION assert_recent(uuid, timestamptz) TO crm_viewer, crm_account;

-- Who a person is at a provider of single sign-on.
CREATE TABLE external_identity (
    owner_id      uuid NOT NULL,
    id            uuid NOT NULL,
    user_id       uuid NOT NULL,
    provider      text NOT NULL CHECK (length(provider) <= 32),
    issuer        text NOT NULL CHECK (length(issuer) <= 255),
    subject       text NOT NULL CHECK (length(subject) <= 255),
    email         text CHECK (length(email) <= 320),
    created_at    timestamptz NOT NULL,
    last_used_at  timestamptz,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT external_identity_subject UNIQUE (issuer, subject),
    CONSTRAINT external_identity_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN external_identity.email IS 'As the provider said it last; for the user to recognise, and for nothing else.';
CREATE INDEX external_identity_by_user ON external_identity (owner_id, user_id);
CALL make_account('external_identity');
CALL make_own('external_identity');
GRANT SELECT ON external_identity TO crm_viewer;
GRANT SELECT, INSERT, DELETE ON external_identity TO crm_account;

-- A WebAuthn credential.
CREATE TABLE passkey (
    owner_id       uuid NOT NULL,
    id             uuid NOT NULL,
    user_id        uuid NOT NULL,
    credential_id  bytea NOT NULL CHECK (length(credential_id) <= 1023),
    credential     jsonb NOT NULL,
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    created_at     timestamptz NOT NULL,
    last_used_at   timestamptz,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT passkey_credential UNIQUE (credential_id),
    CONSTRAINT passkey_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN passkey.credential IS 'The public key, its counter and what else its verification needs.';
CREATE INDEX passkey_by_user ON passkey (owner_id, user_id);
CALL make_account('passkey');
CALL make_own('passkey');
GRANT SELECT (owner_id, id, user_id, name, created_at, last_used_at) ON passkey TO crm_viewer;
GRANT SELECT, INSERT, UPDATE (name), DELETE ON passkey TO crm_account;

-- What opens the account when the passkey is lost; each once.
CREATE TABLE recovery_code (
    owner_id    uuid NOT NULL,
    id          uuid NOT NULL,
    user_id     uuid NOT NULL,
    code_hash   bytea NOT NULL,
    created_at  timestamptz NOT NULL,
    used_at     timestamptz,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT recovery_code_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE UNIQUE INDEX recovery_code_hash ON recovery_code (owner_id, user_id, code_hash);
CALL make_account('recovery_code');
CALL make_own('recovery_code');
GRANT SELECT (owner_id, id, user_id, created_at, used_at) ON recovery_code TO crm_viewer;
GRANT SELECT (owner_id, id, user_id, created_at, used_at), INSERT, DELETE ON recovery_code TO crm_account;

-- A sign-in under way: what the browser, or the provider, must come back with. It may have no owner yet.
CREATE TABLE ceremony (
    id            bytea PRIMARY KEY,
    kind          text NOT NULL CONSTRAINT ceremony_kind CHECK (kind IN ('sso', 'passkey_registration', 'passkey_sign_in', 'second_factor')),
    browser_hash  bytea NOT NULL,
    owner_id      uuid,
    user_id       uuid,
    state         bytea NOT NULL,
    root_key      text NOT NULL,
    attempts      smallint NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    CONSTRAINT ceremony_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN ceremony.id IS 'SHA-256 of the handle that comes back.';
COMMENT ON COLUMN ceremony.state IS 'Sealed under a root key: nonce, verifier, challenge, where to go afterwards.';
CREATE INDEX ceremony_expiry ON ceremony (expires_at);
CREATE INDEX ceremony_by_user ON ceremony (owner_id, user_id) WHERE user_id IS NOT NULL;
ALTER TABLE ceremony ENABLE ROW LEVEL SECURITY;
CREATE POLICY sign_in ON ceremony TO crm_auth USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON ceremony TO crm_auth;

-- A key by which an integration comes in its maker's name.
CREATE TABLE api_key (
    owner_id       uuid NOT NULL,
    id             uuid NOT NULL,
    user_id        uuid NOT NULL,
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    hint           text NOT NULL CHECK (length(hint) <= 32),
    key_hash       bytea NOT NULL,
    scopes         text[] NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    last_used_at   timestamptz,
    revoked_at     timestamptz,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT api_key_hash UNIQUE (key_hash),
    CONSTRAINT api_key_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN api_key.hint IS 'The first characters, by which its maker tells it from others.';
CREATE INDEX api_key_by_user ON api_key (owner_id, user_id, created_at);
CALL make_account('api_key');
CALL make_own('api_key');
GRANT SELECT (owner_id, id, user_id, name, hint, scopes, created_at, expires_at, last_used_at, revoked_at) ON api_key TO crm_viewer;
GRANT SELECT (owner_id, id, user_id, name, hint, scopes, created_at, expires_at, last_used_at, revoked_at),
    INSERT, UPDATE (revoked_at) ON api_key TO crm_account;

-- As assert_session, for an API key.
CREATE FUNCTION assert_api_key(key_id uuid, at timestamptz) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM 1 FROM api_key k JOIN app_user u ON u.owner_id = k.owner_id AND u.id = k.user_id
    WHERE k.owner_id = current_owner() AND k.id = key_id AND k.user_id = current_user_id()
      AND k.revoked_at IS NULL AND k.expires_at > at AND u.delete_after IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key has ended' USING ERRCODE = 'CRM01';
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION assert_api_key(uuid, timestamptz) TO crm_viewer;

-- What was done with an account, from where, by what. Nobody but the retention takes a line away.
CREATE TABLE audit_event (
    owner_id    uuid NOT NULL,
    id          uuid NOT NULL,
    user_id     uuid NOT NULL,
    at          timestamptz NOT NULL,
    kind        text NOT NULL CHECK (length(kind) <= 64),
    method      text CHECK (length(method) <= 64),
    detail      text CHECK (length(detail) <= 500),
    session_id  uuid,
    api_key_id  uuid,
    address     text CHECK (length(address) <= 64),
    user_agent  text CHECK (length(user_agent) <= 500),
    PRIMARY KEY (owner_id, id),
    CONSTRAINT audit_event_id UNIQUE (id),
    CONSTRAINT audit_event_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN audit_event.method IS 'By what: a way to sign in, a provider.';
COMMENT ON COLUMN audit_event.detail IS 'What it was about, as its user calls it: the name of a key, an address.';
CREATE INDEX audit_event_by_user ON audit_event (owner_id, user_id, at DESC, id DESC);
CREATE INDEX audit_event_age ON audit_event (at);
CALL make_machinery('audit_event');
CALL make_own('audit_event');
CREATE POLICY sign_in ON audit_event TO crm_auth USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON audit_event TO crm_viewer, crm_account, crm_auth;

-- Devices and networks that a user has signed in from before.
CREATE TABLE known_client (
    owner_id      uuid NOT NULL,
    user_id       uuid NOT NULL,
    kind          text NOT NULL CONSTRAINT known_client_kind CHECK (kind IN ('device', 'network')),
    hash          bytea NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    PRIMARY KEY (owner_id, user_id, kind, hash),
    CONSTRAINT known_client_user FOREIGN KEY (owner_id, user_id) REFERENCES app_user (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN known_client.hash IS 'SHA-256 of the user and the device''s cookie or the network.';
CALL make_account('known_client');
CALL make_own('known_client');
