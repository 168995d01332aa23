//! What is committed beside the code says what the code does.

#[test]
fn the_committed_schema_is_the_schema() {
    let committed = include_str!("../../../schema.graphql");
    assert!(
        committed == api::graphql::sdl(),
        "schema.graphql is out of date: run `make schema`"
    );
}

#[test]
fn the_example_environment_names_every_variable() {
    let example = include_str!("../../../.env.example");
    let named: Vec<&str> = example
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        .collect();
    let of_a_provider = domain::identity::sso::settings::VARIABLES
        .iter()
        .map(|suffix| format!("SSO_EXAMPLE_{suffix}"))
        .collect::<Vec<_>>();
    let mut expected = domain::config::VARIABLES.to_vec();
    expected.extend(of_a_provider.iter().map(String::as_str));
    expected.extend(["MIGRATION_DATABASE_URL", "LOGIN_PASSWORD"]);
    let missing: Vec<_> = expected.iter().filter(|name| !named.contains(name)).collect();
    let unknown: Vec<_> = named.iter().filter(|name| !expected.contains(name)).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
}
