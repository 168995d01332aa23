-- The end of an account: all that an owner has goes, in parts, so that no transaction is long and the end
-- can be cut short anywhere and goes on. And the end of what the audit trail keeps.

ALTER TABLE owner ADD COLUMN deleting_since timestamptz;
COMMENT ON COLUMN owner.deleting_since IS 'From then on there is no way back: the keys are destroyed, the rows go, and nothing is journaled.';
CREATE INDEX owner_deleting ON owner (deleting_since) WHERE deleting_since IS NOT NULL;

-- As it was, but of an owner who goes nothing is written down, and nothing new comes.
CREATE OR REPLACE FUNCTION journal_write() RETURNS trigger
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
    -- After the lock, which the end of an account takes too.
    IF EXISTS (SELECT 1 FROM owner WHERE id = owners[1] AND deleting_since IS NOT NULL) THEN
        IF TG_OP = 'INSERT' THEN
            RAISE EXCEPTION 'the account is being deleted' USING ERRCODE = 'CRM01';
        END IF;
        RETURN NULL;
    END IF;

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

-- The owners whose end is due, and those whose end was cut short.
CREATE FUNCTION accounts_to_delete(at timestamptz, at_most integer) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
    (SELECT id FROM owner WHERE deleting_since IS NOT NULL)
    UNION
    (SELECT owner_id FROM app_user WHERE delete_after <= at)
    LIMIT at_most
$$;
GRANT EXECUTE ON FUNCTION accounts_to_delete(timestamptz, integer) TO crm_system;

-- What waits in the queue for an owner, and what was done there lately. The job that deletes the account
-- stays until it has been acknowledged, and names nobody any more once `forgotten`.
CREATE FUNCTION delete_jobs_of(owner uuid, forgotten boolean) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, public, pg_temp
    AS $$
    DELETE FROM apalis.jobs
    WHERE metadata -> 'owner' = owner::text OR idempotency_key LIKE owner::text || ':%';
    UPDATE apalis.jobs
    SET job = convert_to(jsonb_build_object('owner_id', '00000000-0000-0000-0000-000000000000')::text, 'UTF8'),
        idempotency_key = 'system:forgotten:' || id
    WHERE forgotten AND job_type = 'delete-account' AND idempotency_key LIKE 'system:' || owner::text || ':%';
$$;

-- The point of no return of an account whose end is due: its keys are destroyed, so that what is sealed
-- can be read by nobody, also not in a copy of the rows; the ways to sign in, sessions, API keys, trail
-- and jobs go with the user. Says whether there is (more) to delete.
CREATE FUNCTION begin_account_deletion(owner uuid, at timestamptz) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    begun timestamptz;
BEGIN
    PERFORM lock_owner(begin_account_deletion.owner);
    SELECT o.deleting_since INTO begun FROM owner o WHERE o.id = begin_account_deletion.owner FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF begun IS NOT NULL THEN
        RETURN true;
    END IF;
    -- Held, so that its user can't change their mind meanwhile.
    PERFORM 1 FROM app_user u
    WHERE u.owner_id = begin_account_deletion.owner AND u.delete_after <= begin_account_deletion.at FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM app_user u
    WHERE u.owner_id = begin_account_deletion.owner
      AND (u.delete_after IS NULL OR u.delete_after > begin_account_deletion.at);
    IF FOUND THEN
        RAISE EXCEPTION 'the owner has other users' USING ERRCODE = 'CRM02';
    END IF;

    DELETE FROM data_key k WHERE k.owner_id = begin_account_deletion.owner;
    DELETE FROM sign_in_link l USING user_email m
    WHERE m.owner_id = begin_account_deletion.owner AND l.canonical = m.canonical;
    DELETE FROM app_user u WHERE u.owner_id = begin_account_deletion.owner;
    PERFORM delete_jobs_of(begin_account_deletion.owner, false);
    UPDATE owner o SET deleting_since = begin_account_deletion.at WHERE o.id = begin_account_deletion.owner;
    RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION begin_account_deletion(uuid, timestamptz) TO crm_system;

-- Deletes so many more rows of an owner whose end has begun, and says whether there may be more. The tables
-- are those of the catalog that have an owner, whatever later releases add: what refers before what is
-- referred to, the journal after all others, and then the owner.
CREATE FUNCTION continue_account_deletion(owner uuid, at_most integer) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    t regclass;
    deleted integer;
BEGIN
    PERFORM lock_owner(continue_account_deletion.owner);
    PERFORM 1 FROM owner o WHERE o.id = continue_account_deletion.owner AND o.deleting_since IS NOT NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOR t IN
        WITH RECURSIVE owned AS (
            SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
              AND a.attname = 'owner_id' AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped
        ), depth (oid, path) AS (
            SELECT oid, ARRAY[oid] FROM owned
            UNION ALL
            SELECT k.conrelid, d.path || k.conrelid
            FROM depth d JOIN pg_constraint k ON k.contype = 'f' AND k.confrelid = d.oid
            JOIN owned o ON o.oid = k.conrelid
            WHERE k.conrelid <> ALL (d.path)
        )
        SELECT oid::regclass FROM depth
        GROUP BY oid ORDER BY oid = 'journal'::regclass, max(cardinality(path)) DESC, oid
    LOOP
        EXECUTE format('DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s WHERE owner_id = $1 LIMIT $2))', t)
            USING continue_account_deletion.owner, at_most;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        IF deleted > 0 THEN
            -- No search text of what is left is written anew.
            DELETE FROM contact_search_due d WHERE d.owner_id = continue_account_deletion.owner;
            RETURN true;
        END IF;
    END LOOP;
    PERFORM delete_jobs_of(continue_account_deletion.owner, true);
    DELETE FROM owner o WHERE o.id = continue_account_deletion.owner;
    RETURN false;
END $$;
GRANT EXECUTE ON FUNCTION continue_account_deletion(uuid, integer) TO crm_system;

-- Takes away what the trail keeps no longer, whoever's it is. Returns how many events.
CREATE FUNCTION delete_old_audit_events(before timestamptz, at_most integer) RETURNS integer
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
    WITH deleted AS (
        DELETE FROM audit_event WHERE (owner_id, id) IN (
            SELECT owner_id, id FROM audit_event WHERE at < before ORDER BY at LIMIT at_most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    )
    SELECT count(*)::integer FROM deleted
$$;
GRANT EXECUTE ON FUNCTION delete_old_audit_events(timestamptz, integer) TO crm_system;
