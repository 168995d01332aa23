-- Extensions are trusted, but their functions must stay callable: they come before the default
-- privileges are narrowed.
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;
CREATE EXTENSION IF NOT EXISTS pgcrypto;
GRANT USAGE, CREATE ON SCHEMA public TO crm_owner;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
-- By default every role may call every new function, also one that runs with its owner's rights.
ALTER DEFAULT PRIVILEGES FOR ROLE crm_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
