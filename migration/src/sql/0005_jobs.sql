-- Our way into the queue, and what the queue's own schema lacks.

-- Puts a job into the queue within the caller's transaction. Owner and user come from the
-- transaction's settings, so that no payload can name somebody else; the key is prefixed with
-- them, so that nobody else's equal key swallows the job.
CREATE FUNCTION enqueue_job(job_type text, payload jsonb, key text, run_at timestamptz, max_attempts integer, trace text)
    RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    inserted integer;
    owner uuid := current_owner();
BEGIN
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, idempotency_key, metadata)
    VALUES (apalis.generate_ulid(), enqueue_job.job_type, convert_to(payload::text, 'UTF8'), 'Pending', 0,
        enqueue_job.max_attempts,
        -- The queue is told at once only of what is due by the time the transaction began, and the
        -- caller looked at the clock a little later.
        CASE WHEN enqueue_job.run_at <= clock_timestamp() THEN least(enqueue_job.run_at, now()) ELSE enqueue_job.run_at END,
        0, concat_ws(':', coalesce(owner::text, 'system'), current_user_id(), key),
        coalesce((SELECT hstore(array_agg(k), array_agg(v))
            FROM (VALUES ('owner', owner::text), ('user', current_user_id()::text),
                         ('batch', NULLIF(current_setting('app.batch', true), '')), ('trace', trace)) m (k, v)
            WHERE v IS NOT NULL), ''::hstore))
    ON CONFLICT (job_type, idempotency_key) DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    RETURN inserted = 1;
END $$;
GRANT EXECUTE ON FUNCTION enqueue_job(text, jsonb, text, timestamptz, integer, text) TO crm_viewer, crm_auth, crm_system;

-- The fetch of apalis joins the picked ids back under a LIMIT unknown to the planner and so scans the
-- whole table each time. The same contract, with the ids as an array.
CREATE OR REPLACE FUNCTION apalis.get_jobs(worker_id text, v_job_type text, v_job_count integer DEFAULT 5)
    RETURNS SETOF apalis.jobs
    LANGUAGE sql VOLATILE
    AS $$
    UPDATE apalis.jobs j
    SET status = 'Queued', lock_by = worker_id, lock_at = now()
    WHERE j.id = ANY (ARRAY(
        SELECT id FROM apalis.jobs
        WHERE (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
          AND run_at < now() AND job_type = v_job_type
        ORDER BY priority DESC, run_at ASC
        LIMIT v_job_count FOR UPDATE SKIP LOCKED))
    RETURNING j.*
$$;

-- Jobs that ended without success, with the reason: what to look at, and what can be put back.
CREATE VIEW dead_job WITH (security_invoker = true) AS
    SELECT id, job_type, attempts, max_attempts, last_result, done_at, metadata -> 'owner' AS owner_id
    FROM apalis.jobs
    WHERE status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts);

GRANT USAGE ON SCHEMA apalis TO crm_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON apalis.jobs, apalis.workers TO crm_worker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA apalis TO crm_worker;
GRANT SELECT ON dead_job TO crm_worker;
-- For the sweep of ended jobs.
CREATE INDEX jobs_done ON apalis.jobs (done_at) WHERE done_at IS NOT NULL;
