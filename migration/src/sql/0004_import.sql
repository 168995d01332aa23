-- Uploaded files, imports and what became of each row.

CREATE TABLE upload (
    owner_id      uuid NOT NULL REFERENCES owner (id),
    id            uuid NOT NULL,
    filename      text CHECK (length(filename) <= 500),
    size          bigint NOT NULL DEFAULT 0 CHECK (size >= 0),
    chunks        integer NOT NULL DEFAULT 0 CHECK (chunks >= 0),
    completed_at  timestamptz,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (owner_id, id)
);
CREATE INDEX upload_by_created ON upload (created_at);
CALL make_machinery('upload');
GRANT SELECT, INSERT, UPDATE, DELETE ON upload TO crm_viewer;

CREATE TABLE upload_chunk (
    owner_id   uuid NOT NULL,
    upload_id  uuid NOT NULL,
    position   integer NOT NULL CHECK (position >= 0),
    body       bytea NOT NULL,
    PRIMARY KEY (owner_id, upload_id, position),
    CONSTRAINT upload_chunk_upload FOREIGN KEY (owner_id, upload_id) REFERENCES upload (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN upload_chunk.body IS 'Sealed with the owner''s data key.';
ALTER TABLE upload_chunk ALTER COLUMN body SET STORAGE EXTERNAL;
CALL make_machinery('upload_chunk');
GRANT SELECT, INSERT, DELETE ON upload_chunk TO crm_viewer;

CREATE TABLE import (
    owner_id      uuid NOT NULL REFERENCES owner (id),
    id            uuid NOT NULL,
    upload_id     uuid,
    format        text NOT NULL CHECK (format IN ('google_csv')),
    filename      text CHECK (length(filename) <= 500),
    state         text NOT NULL CHECK (state IN ('queued', 'running', 'completed', 'failed')),
    error_code    text,
    rows_total    integer NOT NULL DEFAULT 0,
    created       integer NOT NULL DEFAULT 0,
    updated       integer NOT NULL DEFAULT 0,
    skipped       integer NOT NULL DEFAULT 0,
    rejected      integer NOT NULL DEFAULT 0,
    bytes_total   bigint NOT NULL DEFAULT 0,
    bytes_done    bigint NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    started_at    timestamptz,
    finished_at   timestamptz,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT import_upload FOREIGN KEY (owner_id, upload_id) REFERENCES upload (owner_id, id)
        ON DELETE SET NULL (upload_id) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT import_counts CHECK (rows_total = created + updated + skipped + rejected)
);
COMMENT ON COLUMN import.rows_total IS 'Rows done so far; every one has its outcome in import_row.';
CREATE INDEX import_by_created ON import (owner_id, created_at, id);
CALL make_machinery('import');
GRANT SELECT, INSERT, UPDATE ON import TO crm_viewer;

CREATE TABLE import_row (
    owner_id     uuid NOT NULL,
    import_id    uuid NOT NULL,
    row          integer NOT NULL CHECK (row > 0),
    line         bigint NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('created', 'updated', 'skipped', 'rejected')),
    contact_id   uuid,
    code         text,
    message      text CHECK (length(message) <= 1000),
    column_name  text CHECK (length(column_name) <= 500),
    PRIMARY KEY (owner_id, import_id, row),
    CONSTRAINT import_row_import FOREIGN KEY (owner_id, import_id) REFERENCES import (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT import_row_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE SET NULL (contact_id) DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX import_row_outcome ON import_row (owner_id, import_id, outcome, row);
CREATE INDEX import_row_contact_id ON import_row (owner_id, contact_id) WHERE contact_id IS NOT NULL;
CALL make_machinery('import_row');
GRANT SELECT, INSERT ON import_row TO crm_viewer;

-- Which row of some file a contact came from, as a keyed digest of all the row says: the same row
-- again creates nothing. It goes with its contact, so that a deleted person can be imported again.
CREATE TABLE import_digest (
    owner_id    uuid NOT NULL,
    digest      bytea NOT NULL,
    contact_id  uuid NOT NULL,
    PRIMARY KEY (owner_id, digest),
    CONSTRAINT import_digest_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX import_digest_by_contact ON import_digest (owner_id, contact_id);
CALL make_machinery('import_digest');
GRANT SELECT, INSERT, DELETE ON import_digest TO crm_viewer;

-- Removes files that were never finished, or that no import refers to any more, whoever's they are.
-- Returns how many.
CREATE FUNCTION delete_stale_uploads(before timestamptz, at_most integer) RETURNS integer
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
    WITH stale AS (
        SELECT u.owner_id, u.id FROM upload u
        WHERE u.created_at < before
          AND NOT EXISTS (SELECT 1 FROM import i WHERE i.owner_id = u.owner_id AND i.upload_id = u.id)
        ORDER BY u.created_at LIMIT at_most FOR UPDATE SKIP LOCKED
    ), deleted AS (
        DELETE FROM upload u USING stale s WHERE u.owner_id = s.owner_id AND u.id = s.id RETURNING 1
    )
    SELECT count(*)::integer FROM deleted
$$;
GRANT EXECUTE ON FUNCTION delete_stale_uploads(timestamptz, integer) TO crm_system;
