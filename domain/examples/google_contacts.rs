//! Prints a Google Contacts file (the layout of 2024 and later) of invented people.
//!
//!     cargo run -p domain --example google_contacts -- 200 1 > samples/google-contacts.csv
//!
//! The arguments are the number of people and the seed; the same arguments print the same file.

use std::io::{self, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let people: usize = arguments.next().as_deref().unwrap_or("200").parse()?;
    let seed: u64 = arguments.next().as_deref().unwrap_or("1").parse()?;
    let mut out = io::stdout().lock();
    for piece in domain::import::sample::google_csv(people, seed) {
        out.write_all(&piece)?;
    }
    out.flush()?;
    Ok(())
}
