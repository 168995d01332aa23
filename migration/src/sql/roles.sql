-- Roles belong to the whole cluster and outlive a database, so each is made only if it is missing.
--   crm_owner   owns every object; used by migrations alone
--   crm_viewer  what a viewer may: owned tables, under row-level security
--   crm_auth    identities, sessions, keys; no table of the CRM
--   crm_account what a signed-in person may with their own account, and no table of the CRM
--   crm_system  schedulers, through narrow functions that return ids
--   crm_api, crm_worker  what each binary's login roles are members of
-- The hot path runs with the viewer's rights, which the binaries inherit. The rarer ones are reached
-- only by SET LOCAL ROLE: a role that does not inherit stands between, which works alike from 15 on.
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['crm_owner', 'crm_viewer', 'crm_auth', 'crm_account', 'crm_system', 'crm_api', 'crm_worker'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS INHERIT', r);
        END IF;
    END LOOP;
    FOREACH r IN ARRAY ARRAY['crm_auth_switch', 'crm_system_switch'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT', r);
        END IF;
    END LOOP;
    -- From 16 on the maker of a role may grant it, but does not have its rights until it grants them.
    IF NOT pg_has_role(current_user, 'crm_owner', 'USAGE') THEN
        EXECUTE format('GRANT crm_owner TO %I', current_user);
    END IF;
END $$;
GRANT crm_auth, crm_account TO crm_auth_switch;
GRANT crm_system TO crm_system_switch;
GRANT crm_viewer, crm_auth_switch TO crm_api;
GRANT crm_viewer, crm_auth_switch, crm_system_switch TO crm_worker;
