//! `migrate up`, `migrate login api|worker NAME`, `migrate security`.

use anyhow::{Context, bail};

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = variable("MIGRATION_DATABASE_URL")?;
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["up"] => migration::up(&url, &variable("APP_ENV")?).await,
        ["login", binary, name] => migration::login(&url, binary, name, &variable("LOGIN_PASSWORD")?).await,
        ["security"] => {
            for line in migration::security_lines(&url).await? {
                println!("{line}");
            }
            Ok(())
        }
        _ => bail!("usage: migrate up | migrate login api|worker NAME | migrate security"),
    }
}
