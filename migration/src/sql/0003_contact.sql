-- People, companies, tags, notes: the content.
-- Folding can make a text four times as long, and an index takes no entry above 2,704 bytes, so what
-- long names are sorted by is cut.

CREATE TABLE contact (
    owner_id              uuid NOT NULL REFERENCES owner (id),
    id                    uuid NOT NULL,
    name_prefix           text CHECK (length(name_prefix) <= 200),
    given_name            text CHECK (length(given_name) <= 200),
    additional_name       text CHECK (length(additional_name) <= 200),
    family_name           text CHECK (length(family_name) <= 200),
    name_suffix           text CHECK (length(name_suffix) <= 200),
    nickname              text CHECK (length(nickname) <= 200),
    phonetic_given_name   text CHECK (length(phonetic_given_name) <= 200),
    phonetic_family_name  text CHECK (length(phonetic_family_name) <= 200),
    file_as               text CHECK (length(file_as) <= 500),
    display_name          text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 1000),
    sort_name             text COLLATE "C" NOT NULL GENERATED ALWAYS AS (left(fold(coalesce(
                              file_as,
                              NULLIF(trim(coalesce(family_name, '') || ' ' || coalesce(given_name, '') || ' ' || coalesce(additional_name, '')), ''),
                              display_name)), 500)) STORED,
    starred               boolean NOT NULL DEFAULT false,
    last_interaction_at   timestamptz,
    last_interaction_key  timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(last_interaction_at, '-infinity')) STORED,
    version               integer NOT NULL DEFAULT 1,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL
);
CREATE INDEX contact_by_name ON contact (owner_id, sort_name, id);
CREATE INDEX contact_by_created ON contact (owner_id, created_at, id);
CREATE INDEX contact_by_updated ON contact (owner_id, updated_at, id);
CREATE INDEX contact_by_last_interaction ON contact (owner_id, last_interaction_key, id);
-- The last index, since among those that seem to cost the same the planner takes the newest. Where it has
-- no statistics yet, all that hold owner and id seem so, and foreign keys would be checked by reading all
-- of an owner's entries, for as long as the connection keeps the plan.
ALTER TABLE contact ADD PRIMARY KEY (owner_id, id);
CALL make_content('contact');

CREATE TABLE contact_email (
    owner_id    uuid NOT NULL,
    id          uuid NOT NULL,
    contact_id  uuid NOT NULL,
    position    integer NOT NULL,
    label       text CHECK (length(label) <= 500),
    address     text NOT NULL CHECK (length(address) <= 254),
    canonical   text COLLATE "C" NOT NULL CHECK (length(canonical) <= 600),
    PRIMARY KEY (owner_id, id),
    CONSTRAINT contact_email_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX contact_email_by_contact ON contact_email (owner_id, contact_id, position);
CREATE INDEX contact_email_by_canonical ON contact_email (owner_id, canonical);
CALL make_content('contact_email');

CREATE TABLE contact_phone (
    owner_id    uuid NOT NULL,
    id          uuid NOT NULL,
    contact_id  uuid NOT NULL,
    position    integer NOT NULL,
    label       text CHECK (length(label) <= 500),
    raw         text NOT NULL CHECK (length(raw) BETWEEN 1 AND 500),
    e164        text COLLATE "C" CHECK (e164 ~ '^\+[0-9]{2,15}$'),
    PRIMARY KEY (owner_id, id),
    CONSTRAINT contact_phone_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX contact_phone_by_contact ON contact_phone (owner_id, contact_id, position);
CREATE INDEX contact_phone_by_e164 ON contact_phone (owner_id, e164) WHERE e164 IS NOT NULL;
CALL make_content('contact_phone');

CREATE TABLE contact_address (
    owner_id     uuid NOT NULL,
    id           uuid NOT NULL,
    contact_id   uuid NOT NULL,
    position     integer NOT NULL,
    label        text CHECK (length(label) <= 500),
    formatted    text CHECK (length(formatted) <= 2000),
    street       text CHECK (length(street) <= 500),
    extended     text CHECK (length(extended) <= 500),
    city         text CHECK (length(city) <= 500),
    po_box       text CHECK (length(po_box) <= 500),
    region       text CHECK (length(region) <= 500),
    postal_code  text CHECK (length(postal_code) <= 500),
    country      text CHECK (length(country) <= 500),
    PRIMARY KEY (owner_id, id),
    CONSTRAINT contact_address_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX contact_address_by_contact ON contact_address (owner_id, contact_id, position);
CALL make_content('contact_address');

CREATE TABLE contact_link (
    owner_id    uuid NOT NULL,
    id          uuid NOT NULL,
    contact_id  uuid NOT NULL,
    position    integer NOT NULL,
    label       text CHECK (length(label) <= 500),
    url         text NOT NULL CHECK (length(url) <= 2000),
    PRIMARY KEY (owner_id, id),
    CONSTRAINT contact_link_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX contact_link_by_contact ON contact_link (owner_id, contact_id, position);
CALL make_content('contact_link');

-- Birthdays and the like. The year, or all but the year, may be unknown.
CREATE TABLE contact_date (
    owner_id    uuid NOT NULL,
    id          uuid NOT NULL,
    contact_id  uuid NOT NULL,
    position    integer NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('birthday', 'anniversary', 'other')),
    label       text CHECK (length(label) <= 500),
    year        smallint CHECK (year BETWEEN 1 AND 9999),
    month       smallint CHECK (month BETWEEN 1 AND 12),
    day         smallint CHECK (day BETWEEN 1 AND 31),
    PRIMARY KEY (owner_id, id),
    CONSTRAINT contact_date_partial CHECK ((day IS NULL OR month IS NOT NULL) AND (year IS NOT NULL OR day IS NOT NULL)),
    CONSTRAINT contact_date_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX contact_date_by_contact ON contact_date (owner_id, contact_id, position);
CALL make_content('contact_date');

CREATE TABLE company (
    owner_id    uuid NOT NULL REFERENCES owner (id),
    id          uuid NOT NULL,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 500),
    sort_name   text COLLATE "C" NOT NULL GENERATED ALWAYS AS (left(fold(name), 500)) STORED,
    version     integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX company_by_name ON company (owner_id, sort_name, id);
ALTER TABLE company ADD PRIMARY KEY (owner_id, id);
CALL make_content('company');

-- A person's place at a company, now or once; a person can hold several.
CREATE TABLE affiliation (
    owner_id     uuid NOT NULL,
    id           uuid NOT NULL,
    contact_id   uuid NOT NULL,
    company_id   uuid,
    position     integer NOT NULL,
    title        text CHECK (length(title) <= 500),
    department   text CHECK (length(department) <= 500),
    from_year    smallint CHECK (from_year BETWEEN 1 AND 9999),
    from_month   smallint CHECK (from_month BETWEEN 1 AND 12),
    from_day     smallint CHECK (from_day BETWEEN 1 AND 31),
    to_year      smallint CHECK (to_year BETWEEN 1 AND 9999),
    to_month     smallint CHECK (to_month BETWEEN 1 AND 12),
    to_day       smallint CHECK (to_day BETWEEN 1 AND 31),
    PRIMARY KEY (owner_id, id),
    CONSTRAINT affiliation_somewhere CHECK (coalesce(company_id::text, title, department) IS NOT NULL),
    CONSTRAINT affiliation_from CHECK ((from_month IS NULL OR from_year IS NOT NULL) AND (from_day IS NULL OR from_month IS NOT NULL)),
    CONSTRAINT affiliation_to CHECK ((to_month IS NULL OR to_year IS NOT NULL) AND (to_day IS NULL OR to_month IS NOT NULL)),
    CONSTRAINT affiliation_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT affiliation_company FOREIGN KEY (owner_id, company_id) REFERENCES company (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX affiliation_by_contact ON affiliation (owner_id, contact_id, position);
CREATE INDEX affiliation_by_company ON affiliation (owner_id, company_id);
CALL make_content('affiliation');

CREATE TABLE tag (
    owner_id    uuid NOT NULL REFERENCES owner (id),
    id          uuid NOT NULL,
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    sort_name   text COLLATE "C" NOT NULL GENERATED ALWAYS AS (fold(name)) STORED,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT tag_name UNIQUE (owner_id, sort_name)
);
CALL make_content('tag');

CREATE TABLE contact_tag (
    owner_id    uuid NOT NULL,
    id          uuid NOT NULL,
    contact_id  uuid NOT NULL,
    tag_id      uuid NOT NULL,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT contact_tag_once UNIQUE (owner_id, contact_id, tag_id),
    CONSTRAINT contact_tag_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT contact_tag_tag FOREIGN KEY (owner_id, tag_id) REFERENCES tag (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX contact_tag_by_tag ON contact_tag (owner_id, tag_id, contact_id);
CALL make_content('contact_tag');

CREATE TABLE note (
    owner_id    uuid NOT NULL,
    id          uuid NOT NULL,
    contact_id  uuid NOT NULL,
    body        bytea NOT NULL,
    pinned      boolean NOT NULL DEFAULT false,
    version     integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (owner_id, id),
    CONSTRAINT note_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
COMMENT ON COLUMN note.body IS 'Sealed with the owner''s data key.';
CREATE INDEX note_by_contact ON note (owner_id, contact_id, created_at DESC, id DESC);
CALL make_content('note');

-- What a contact is found by, folded into one text. Kept by triggers, so that no path forgets: each
-- statement that touches what the text is made of notes the contacts, and before the transaction
-- commits, the text of all of them is written once.
CREATE TABLE contact_search (
    owner_id    uuid NOT NULL,
    contact_id  uuid NOT NULL,
    folded      text COLLATE "C" NOT NULL,
    PRIMARY KEY (owner_id, contact_id),
    CONSTRAINT contact_search_contact FOREIGN KEY (owner_id, contact_id) REFERENCES contact (owner_id, id)
        ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE
);
CREATE INDEX contact_search_trigrams ON contact_search USING gin (owner_id, folded gin_trgm_ops);
CALL make_machinery('contact_search');

CREATE TABLE contact_search_due (
    owner_id  uuid PRIMARY KEY,
    contacts  uuid[] NOT NULL
);
COMMENT ON TABLE contact_search_due IS 'Contacts whose search text the open transaction has yet to write. No row outlives its transaction.';
ALTER TABLE contact_search_due ALTER COLUMN contacts SET STORAGE EXTERNAL;
CALL make_machinery('contact_search_due');

-- The texts as they must be. Without a search path of its own, so that it becomes part of the statement
-- that calls it and its plan is kept; and each contact is looked up by itself (LIMIT), so that the plan is
-- right also while the planner knows nothing of tables that are just being filled.
CREATE FUNCTION contact_search_text(owner uuid, contacts uuid[]) RETURNS TABLE (contact_id uuid, folded text)
    LANGUAGE sql STABLE
    AS $$
    SELECT due.id, found.folded
    FROM (SELECT DISTINCT unnest(contacts) AS id) due
    CROSS JOIN LATERAL (
        SELECT fold(concat_ws(E'\n', c.display_name, c.nickname, c.file_as, c.phonetic_given_name, c.phonetic_family_name,
            (SELECT string_agg(e.address, E'\n') FROM contact_email e WHERE e.owner_id = owner AND e.contact_id = due.id),
            (SELECT string_agg(concat_ws(E'\n', (SELECT o.name FROM company o WHERE o.owner_id = owner AND o.id = f.company_id),
                    f.title, f.department), E'\n')
                FROM affiliation f WHERE f.owner_id = owner AND f.contact_id = due.id))) AS folded
        FROM contact c WHERE c.owner_id = owner AND c.id = due.id
        LIMIT 1
    ) found
$$;

CREATE FUNCTION contact_search_note() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    owner uuid;
    touched uuid[];
BEGIN
    IF TG_TABLE_NAME = 'contact' THEN
        SELECT (array_agg(owner_id))[1], array_agg(id) INTO owner, touched FROM changed;
    ELSIF TG_TABLE_NAME = 'company' THEN
        SELECT (array_agg(f.owner_id))[1], array_agg(DISTINCT f.contact_id) INTO owner, touched
        FROM changed c JOIN affiliation f ON f.owner_id = c.owner_id AND f.company_id = c.id;
    ELSE
        SELECT (array_agg(owner_id))[1], array_agg(DISTINCT contact_id) INTO owner, touched FROM changed;
    END IF;
    IF touched IS NOT NULL THEN
        INSERT INTO contact_search_due AS d (owner_id, contacts) VALUES (owner, touched)
        ON CONFLICT (owner_id) DO UPDATE SET contacts = d.contacts || EXCLUDED.contacts;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER search_insert AFTER INSERT ON contact REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();
CREATE TRIGGER search_update AFTER UPDATE ON contact REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();
CREATE TRIGGER search_update AFTER UPDATE ON company REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();
CREATE TRIGGER search_insert AFTER INSERT ON contact_email REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();
CREATE TRIGGER search_update AFTER UPDATE ON contact_email REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();
CREATE TRIGGER search_delete AFTER DELETE ON contact_email REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();
CREATE TRIGGER search_insert AFTER INSERT ON affiliation REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();
CREATE TRIGGER search_update AFTER UPDATE ON affiliation REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();
CREATE TRIGGER search_delete AFTER DELETE ON affiliation REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION contact_search_note();

CREATE FUNCTION contact_search_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    due uuid[];
BEGIN
    DELETE FROM contact_search_due WHERE owner_id = NEW.owner_id RETURNING contacts INTO due;
    INSERT INTO contact_search (owner_id, contact_id, folded)
    SELECT NEW.owner_id, t.contact_id, t.folded FROM contact_search_text(NEW.owner_id, due) t
    ON CONFLICT (owner_id, contact_id) DO UPDATE SET folded = EXCLUDED.folded
    WHERE contact_search.folded IS DISTINCT FROM EXCLUDED.folded;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER search_write AFTER INSERT ON contact_search_due DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION contact_search_write();

-- Contacts that hold every one of the words, anywhere. LIKE is not leakproof, so under row-level
-- security its index would not be used: the function looks past the policy and filters itself. Nor does
-- LIKE ALL use the index: the two longest words look up, all of them filter. What the transaction itself
-- has changed is compared as it will be.
CREATE FUNCTION contact_search_ids(words text) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, public, pg_temp
    AS $$
    WITH asked AS MATERIALIZED (
        SELECT NULLIF(current_setting('app.owner_id', true), '')::uuid AS owner_id,
            array_agg('%' || replace(replace(replace(w, '\', '\\'), '%', '\%'), '_', '\_') || '%' ORDER BY length(w) DESC) AS patterns
        FROM regexp_split_to_table(trim(fold(words)), '\s+') w
    ), due AS MATERIALIZED (
        SELECT d.owner_id, d.contacts FROM contact_search_due d WHERE d.owner_id = (SELECT owner_id FROM asked)
    )
    SELECT s.contact_id FROM contact_search s
    WHERE s.owner_id = (SELECT owner_id FROM asked)
      AND s.folded LIKE (SELECT patterns[1] FROM asked)
      AND s.folded LIKE (SELECT coalesce(patterns[2], patterns[1]) FROM asked)
      AND s.folded LIKE ALL ((SELECT patterns FROM asked)::text[])
      AND NOT EXISTS (SELECT 1 FROM due d WHERE s.contact_id = ANY (d.contacts))
    UNION ALL
    SELECT t.contact_id FROM due d CROSS JOIN LATERAL contact_search_text(d.owner_id, d.contacts) t
    WHERE t.folded LIKE ALL ((SELECT patterns FROM asked)::text[])
$$;
GRANT EXECUTE ON FUNCTION contact_search_ids(text) TO crm_viewer;
