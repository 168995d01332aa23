-- The ground: the environment's stamp, folding of text for sorting and search, who is asking, the
-- owner's write lock, and the journal with the procedures that put a table into its class.

CREATE TABLE environment (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    name        text NOT NULL CHECK (name IN ('development', 'staging', 'production')),
    stamped_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE environment IS 'Which environment this database belongs to; a process of another refuses it.';
-- Readiness reads both: whose the database is, and how far it has been migrated.
GRANT SELECT ON environment, seaql_migrations TO crm_viewer, crm_auth, crm_system;

-- Lower case, without accents or compatibility forms: what names are sorted and searched by.
CREATE FUNCTION fold(t text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT pg_catalog.lower(pg_catalog.regexp_replace(pg_catalog.normalize(t, 'NFKD'), '[\u0300-\u036f]+', '', 'g') COLLATE pg_catalog."und-x-icu") $$;
GRANT EXECUTE ON FUNCTION fold(text) TO crm_viewer, crm_auth, crm_system;

-- The owner of the open transaction. A custom setting that was set locally once reverts to '' and
-- not to nothing when its transaction ends, hence the NULLIF.
CREATE FUNCTION current_owner() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT NULLIF(current_setting('app.owner_id', true), '')::uuid $$;
CREATE FUNCTION current_user_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT NULLIF(current_setting('app.user_id', true), '')::uuid $$;
GRANT EXECUTE ON FUNCTION current_owner(), current_user_id() TO crm_viewer, crm_auth, crm_system;

-- One writer an owner at a time, so that the journal's numbers are in the order of the commits.
CREATE FUNCTION lock_owner(owner uuid) RETURNS void
    LANGUAGE sql VOLATILE
    AS $$ SELECT pg_advisory_xact_lock(hashtextextended(owner::text, 0)) $$;
GRANT EXECUTE ON FUNCTION lock_owner(uuid) TO crm_viewer, crm_auth, crm_system;

CREATE TABLE owner (
    id          uuid PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE owner ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON owner FOR SELECT USING (id = (SELECT NULLIF(current_setting('app.owner_id', true), '')::uuid));
GRANT SELECT ON owner TO crm_viewer;

CREATE TABLE journal (
    owner_id    uuid NOT NULL REFERENCES owner (id),
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL DEFAULT now(),
    actor       text NOT NULL,
    batch       uuid NOT NULL,
    op          "char" NOT NULL CHECK (op IN ('I', 'U', 'D')),
    table_name  text NOT NULL,
    row_id      uuid NOT NULL,
    before      jsonb,
    PRIMARY KEY (owner_id, seq)
);
COMMENT ON COLUMN journal.before IS 'The changed columns'' old values; for a delete the whole row, for an insert nothing.';
CREATE INDEX journal_row ON journal (owner_id, table_name, row_id, seq);
CREATE INDEX journal_batch ON journal (owner_id, batch, seq);

-- One function for every content table. Its arguments are the columns that are derived (generated),
-- which an undo could not write back.
CREATE FUNCTION journal_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    derived text[] := coalesce(TG_ARGV, '{}');
    actor text := coalesce(NULLIF(current_setting('app.actor', true), ''), 'system');
    batch uuid := coalesce(NULLIF(current_setting('app.batch', true), '')::uuid, gen_random_uuid());
    owners uuid[];
    kept bigint;
    total bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT owner_id) INTO owners FROM new_rows;
    ELSE
        SELECT array_agg(DISTINCT owner_id) INTO owners FROM old_rows;
    END IF;
    IF owners IS NULL THEN
        RETURN NULL;
    END IF;
    IF cardinality(owners) > 1 THEN
        RAISE EXCEPTION 'a writing statement concerns one owner' USING ERRCODE = 'CRM02';
    END IF;
    PERFORM lock_owner(owners[1]);

    IF TG_OP = 'INSERT' THEN
        INSERT INTO journal (owner_id, actor, batch, op, table_name, row_id)
        SELECT n.owner_id, actor, batch, 'I', TG_TABLE_NAME, n.id FROM new_rows n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO journal (owner_id, actor, batch, op, table_name, row_id, before)
        SELECT o.owner_id, actor, batch, 'D', TG_TABLE_NAME, o.id, to_jsonb(o) - derived FROM old_rows o;
    ELSE
        SELECT count(*) INTO total FROM old_rows;
        SELECT count(*) INTO kept FROM old_rows o JOIN new_rows n ON n.owner_id = o.owner_id AND n.id = o.id;
        IF kept <> total THEN
            RAISE EXCEPTION 'the key of a row in % does not change', TG_TABLE_NAME USING ERRCODE = 'CRM02';
        END IF;
        INSERT INTO journal (owner_id, actor, batch, op, table_name, row_id, before)
        SELECT o.owner_id, actor, batch, 'U', TG_TABLE_NAME, o.id, d.before
        FROM old_rows o
        JOIN new_rows n ON n.owner_id = o.owner_id AND n.id = o.id
        CROSS JOIN LATERAL (
            SELECT jsonb_object_agg(e.key, e.value) AS before
            FROM jsonb_each(to_jsonb(o) - derived) e
            WHERE to_jsonb(n) -> e.key IS DISTINCT FROM e.value
        ) d
        WHERE d.before IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;

-- The policy of every owned table: a row is there for its owner's transaction alone.
CREATE PROCEDURE make_owned(t regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format(
        'CREATE POLICY owned ON %s USING (owner_id = (SELECT NULLIF(current_setting(''app.owner_id'', true), '''')::uuid))', t);
END $$;

-- Content: what a user keeps. Owned, written by the viewer, journaled.
CREATE PROCEDURE make_content(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    derived text;
BEGIN
    CALL make_owned(t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO crm_viewer', t);
    SELECT coalesce(string_agg(quote_literal(attname), ', '), '') INTO derived
    FROM pg_attribute WHERE attrelid = t AND attgenerated <> '' AND NOT attisdropped;
    EXECUTE format('CREATE TRIGGER journal_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION journal_write(%s)', t, derived);
    EXECUTE format('CREATE TRIGGER journal_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION journal_write(%s)', t, derived);
    EXECUTE format('CREATE TRIGGER journal_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION journal_write(%s)', t, derived);
END $$;

-- Account: who may sign in and how. Owned; what of it a viewer may read is the table's own grant. Written
-- by the sign-in alone, which has no viewer yet and so sees every row.
CREATE PROCEDURE make_account(t regclass) LANGUAGE plpgsql AS $$
BEGIN
    CALL make_owned(t);
    EXECUTE format('CREATE POLICY sign_in ON %s TO crm_auth USING (true) WITH CHECK (true)', t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO crm_auth', t);
END $$;

-- Machinery: what the product needs to work and no undo brings back. Owned; the grants are the
-- table's own.
CREATE PROCEDURE make_machinery(t regclass) LANGUAGE plpgsql AS $$
BEGIN
    CALL make_owned(t);
END $$;

CALL make_machinery('journal');
GRANT SELECT ON journal TO crm_viewer;
GRANT SELECT, INSERT ON owner TO crm_auth;
CREATE POLICY sign_in ON owner TO crm_auth USING (true) WITH CHECK (true);
