-- Everything that decides who sees what, a line each, in a fixed order: compared at every start with
-- the committed list. Only what the product owns; extensions are not its own.
WITH ours AS (
    SELECT n.oid, n.nspname FROM pg_namespace n WHERE n.nspname IN ('public', 'apalis')
), lines AS (
    SELECT 'role ' || rolname || concat(
            CASE WHEN rolsuper THEN ' SUPERUSER' END, CASE WHEN rolbypassrls THEN ' BYPASSRLS' END,
            CASE WHEN rolcreaterole THEN ' CREATEROLE' END, CASE WHEN rolcreatedb THEN ' CREATEDB' END,
            CASE WHEN rolreplication THEN ' REPLICATION' END, CASE WHEN rolcanlogin THEN ' LOGIN' END,
            CASE WHEN rolinherit THEN ' INHERIT' ELSE ' NOINHERIT' END) AS line
    FROM pg_roles WHERE rolname = ANY (ARRAY['crm_owner', 'crm_viewer', 'crm_auth', 'crm_account', 'crm_system', 'crm_api', 'crm_worker',
        'crm_auth_switch', 'crm_system_switch'])
    UNION
    SELECT 'member ' || m.rolname || ' of ' || g.rolname
    FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
    WHERE g.rolname LIKE 'crm\_%' AND m.rolname = ANY (ARRAY['crm_viewer', 'crm_auth', 'crm_account', 'crm_system', 'crm_api', 'crm_worker',
        'crm_auth_switch', 'crm_system_switch'])
    UNION
    SELECT 'table ' || o.nspname || '.' || c.relname || CASE WHEN c.relrowsecurity THEN ' RLS' ELSE ' NO RLS' END
    FROM pg_class c JOIN ours o ON o.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')
    UNION
    SELECT 'grant ' || o.nspname || '.' || c.relname || ' ' || coalesce(g.rolname, 'PUBLIC') || ' ' || string_agg(x.privilege_type, ',' ORDER BY x.privilege_type)
    FROM pg_class c JOIN ours o ON o.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(c.relacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
    WHERE c.relkind IN ('r', 'p', 'v', 'S', 'm') AND x.grantee <> c.relowner AND x.privilege_type <> 'MAINTAIN'
    GROUP BY o.nspname, c.relname, g.rolname
    UNION
    SELECT 'grant ' || o.nspname || '.' || c.relname || '.' || t.attname || ' ' || coalesce(g.rolname, 'PUBLIC') || ' ' || string_agg(x.privilege_type, ',' ORDER BY x.privilege_type)
    FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN ours o ON o.oid = c.relnamespace
    CROSS JOIN LATERAL aclexplode(t.attacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
    WHERE NOT t.attisdropped GROUP BY o.nspname, c.relname, t.attname, g.rolname
    UNION
    SELECT 'policy ' || o.nspname || '.' || c.relname || ' ' || p.polname || ' ' || p.polcmd::text || CASE WHEN p.polpermissive THEN '' ELSE ' RESTRICTIVE' END
        || ' TO ' || (SELECT string_agg(coalesce(r.rolname, 'PUBLIC'), ',' ORDER BY r.rolname) FROM unnest(p.polroles) u LEFT JOIN pg_roles r ON r.oid = u)
        || ' USING ' || coalesce(pg_get_expr(p.polqual, p.polrelid), '-') || ' CHECK ' || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '-')
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN ours o ON o.oid = c.relnamespace
    UNION
    SELECT 'function ' || o.nspname || '.' || f.proname || '(' || pg_get_function_identity_arguments(f.oid) || ')'
        || CASE WHEN f.prosecdef THEN ' DEFINER' ELSE '' END || coalesce(' ' || array_to_string(f.proconfig, ' '), '')
        || ' EXECUTE ' || coalesce((SELECT string_agg(coalesce(g.rolname, 'PUBLIC'), ',' ORDER BY g.rolname)
            FROM aclexplode(f.proacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee WHERE x.grantee <> f.proowner),
            CASE WHEN f.proacl IS NULL THEN 'PUBLIC' ELSE '-' END)
        || ' BODY ' || md5(f.prosrc)
    FROM pg_proc f JOIN ours o ON o.oid = f.pronamespace
    WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
    UNION
    SELECT 'view ' || o.nspname || '.' || c.relname || ' ' || coalesce(array_to_string(c.reloptions, ' '), 'NOT INVOKER')
    FROM pg_class c JOIN ours o ON o.oid = c.relnamespace WHERE c.relkind IN ('v', 'm')
    UNION
    SELECT 'trigger ' || c.relname || ' ' || t.tgname || ' ' || t.tgenabled::text || ' ' || f.proname
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN ours o ON o.oid = c.relnamespace JOIN pg_proc f ON f.oid = t.tgfoid
    WHERE NOT t.tgisinternal
    UNION
    SELECT 'owner of ' || o.nspname || '.' || c.relname || ' is ' || r.rolname
    FROM pg_class c JOIN ours o ON o.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND r.rolname <> 'crm_owner'
)
SELECT line COLLATE "C" AS line FROM lines ORDER BY 1
