//! Google Contacts files (the layout of 2024 and later) of invented people, of any size, for tests and
//! demonstrations.
//!
//! Nobody in them exists: domains are those of RFC 2606, telephone numbers those that are set aside for
//! fiction.

const HEADER: &str = "First Name,Middle Name,Last Name,Phonetic First Name,Phonetic Middle Name,Phonetic Last Name,\
Name Prefix,Name Suffix,Nickname,File As,Organization Name,Organization Title,Organization Department,Birthday,Notes,\
Photo,Labels,E-mail 1 - Label,E-mail 1 - Value,E-mail 2 - Label,E-mail 2 - Value,Phone 1 - Label,Phone 1 - Value,\
Phone 2 - Label,Phone 2 - Value,Address 1 - Label,Address 1 - Formatted,Address 1 - Street,Address 1 - City,\
Address 1 - PO Box,Address 1 - Region,Address 1 - Postal Code,Address 1 - Country,Address 1 - Extended Address,\
Relation 1 - Label,Relation 1 - Value,Website 1 - Label,Website 1 - Value,Event 1 - Label,Event 1 - Value,\
Custom Field 1 - Label,Custom Field 1 - Value";

/// Given name, family name, and the same in ASCII for addresses.
const PEOPLE: [(&[&str], &[&str]); 8] = [
    (
        &["Ada", "Bennett", "Clara", "Dorian", "Elsie", "Felix"],
        &[
            "Ashworth",
            "Brindle",
            "O'Hallon",
            "Fairweather",
            "Quill",
            "D'Arcey",
        ],
    ),
    (
        &["Jörg", "Käthe", "Lüder", "Änne", "Götz", "Friederike"],
        &["Müßig", "Grünbäumer", "von Ährenfeld", "Kößling", "Überseer"],
    ),
    (
        &["Zoé", "Aurèle", "François", "Maëlys"],
        &["Dubréval", "L'Écuyer-Noël", "Garçonnet"],
    ),
    (
        &["Łucja", "Świętosław", "Żaneta", "Bořek"],
        &["Wiśniowiecka", "Źdźbłowicz", "Příkopa"],
    ),
    (&["太郎", "花子", "健一", "美咲"], &["山元", "田ノ倉", "森之宮"]),
    (&["小雨", "志明", "晓峰"], &["欧阳", "林", "慕容"]),
    (&["ليلى", "سامر", "نوال"], &["الزهراني", "بن طاهر", "النجار"]),
    (&["נועה", "איתן", "תמר"], &["בן־שחר", "הלוי", "אורן"]),
];
const COMPANIES: [(&str, &str); 8] = [
    ("Brightwater Analytics", "brightwater.example.com"),
    ("Kölner Dachziegel GmbH & Co. KG", "dachziegel.example.org"),
    ("Moss, Fern & Partners", "mossfern.example.net"),
    ("Nordlicht Energie", "nordlicht.example.org"),
    ("株式会社あおぞら", "aozora.example.com"),
    ("The \"Second Breakfast\" Bakery", "breakfast.example.net"),
    ("Orbita Labs", "orbita.test"),
    ("L'Atelier du Port", "atelier.example.org"),
];
const TITLES: [&str; 7] = [
    "Head of Design",
    "CTO",
    "Vertriebsleiterin",
    "Accountant",
    "Gründer",
    "Editor, Fiction",
    "研究員",
];
const DEPARTMENTS: [&str; 4] = ["R&D", "Sales, EMEA", "Einkauf", "Operations"];
const TAGS: [&str; 8] = [
    "Friends",
    "Family",
    "Climbing",
    "Investors",
    "Alumni 2012",
    "Nachbarn",
    "読書会",
    "* starred",
];
const NOTES: [&str; 6] = [
    "Met at the harbour festival.\nLikes rye bread, dislikes \"small talk\".",
    "Kids: Mira (7), Ole (4).\r\nAsk about the move.",
    "Prefers calls, never before 10:00; says \"don't text\".",
    "Introduced by Ada – owes me a book.",
    "Allergic to nuts\n\nVegetarian, loves quinces.",
    "好きなもの：山、音楽、コーヒー",
];
const STREETS: [(&str, &str, &str, &str); 5] = [
    ("12 Lantern Row", "Bristol", "BS1 0ZZ", "United Kingdom"),
    ("Lindenweg 7", "Köln", "50667", "Deutschland"),
    ("400 Maple Court\nApt 9", "Springfield", "00001", "United States"),
    ("3, quai de l'Étoile", "Nantes", "44000", "France"),
    ("桜町1-2-3", "仙台市", "980-0000", "日本"),
];

/// The names are few. In a file of more people than that they are numbered, so that nobody is taken for
/// somebody else.
const SMALL: usize = 1000;
/// Bytes after which a piece of the file is full.
const PIECE: usize = 64 * 1024;

/// A file of `rows` people, in pieces; the same arguments give the same file.
pub fn google_csv(rows: usize, seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut dice = Dice(seed);
    let mut people = (1..=rows).peekable();
    let mut text = format!("{HEADER}\r\n");
    std::iter::from_fn(move || {
        while text.len() < PIECE
            && let Some(number) = people.next()
        {
            person(number, rows > SMALL, &mut dice).write(&mut text);
        }
        (!text.is_empty()).then(|| std::mem::take(&mut text).into_bytes())
    })
}

/// SplitMix64: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.roll(100) < chance
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let index = usize::try_from(self.roll(items.len() as u64)).unwrap_or_default();
        &items[index]
    }
}

/// The cells of one row, by the names of their columns.
struct Person(Vec<(&'static str, String)>);

impl Person {
    fn set(&mut self, column: &'static str, value: impl Into<String>) {
        self.0.push((column, value.into()));
    }

    fn write(&self, out: &mut String) {
        for (index, column) in HEADER.split(',').enumerate() {
            let value = self
                .0
                .iter()
                .find(|(name, _)| *name == column)
                .map_or("", |(_, value)| value);
            let comma = if index == 0 { "" } else { "," };
            if value.contains(['"', ',', '\n', '\r']) {
                out.extend([comma, "\"", &value.replace('"', "\"\""), "\""]);
            } else {
                out.extend([comma, value]);
            }
        }
        out.push_str("\r\n");
    }
}

fn person(number: usize, numbered: bool, dice: &mut Dice) -> Person {
    let mut person = Person(Vec::new());
    let (given, family) = *dice.pick(&PEOPLE);
    // Some people are known by one name only, and a few only by their company.
    let shape = dice.roll(40);
    if shape != 0 {
        person.set("First Name", *dice.pick(given));
    }
    if numbered {
        person.set("Last Name", format!("{} {number}", dice.pick(family)));
    } else if shape > 1 {
        person.set("Last Name", *dice.pick(family));
    }
    if dice.percent(8) {
        person.set("Middle Name", *dice.pick(given));
    }
    if dice.percent(8) {
        person.set("Name Prefix", *dice.pick(&["Dr.", "Prof. Dr.", "Mx"]));
    }
    if dice.percent(10) {
        person.set(
            "Nickname",
            *dice.pick(&["Bo", "Mäxchen", "Captain", "さっちゃん"]),
        );
    }
    let company = dice.percent(70).then(|| *dice.pick(&COMPANIES));
    work(&mut person, company, shape == 0, dice);
    reach(
        &mut person,
        number,
        company.map_or("example.com", |(_, domain)| domain),
        dice,
    );
    life(&mut person, dice);
    person
}

fn work(person: &mut Person, company: Option<(&str, &str)>, needed: bool, dice: &mut Dice) {
    let name = company
        .map(|(name, _)| name)
        .or_else(|| needed.then_some("Orbita Labs"));
    let Some(name) = name else { return };
    if dice.percent(8) {
        let other = COMPANIES
            .iter()
            .map(|(other, _)| *other)
            .find(|other| *other != name)
            .unwrap_or_default();
        person.set("Organization Name", format!("{name} ::: {other}"));
        person.set(
            "Organization Title",
            format!("{} ::: {}", dice.pick(&TITLES), dice.pick(&TITLES)),
        );
        return;
    }
    person.set("Organization Name", name);
    if dice.percent(80) {
        person.set("Organization Title", *dice.pick(&TITLES));
    }
    if dice.percent(25) {
        person.set("Organization Department", *dice.pick(&DEPARTMENTS));
    }
}

fn reach(person: &mut Person, number: usize, domain: &str, dice: &mut Dice) {
    if dice.percent(85) {
        if dice.percent(15) {
            person.set("E-mail 1 - Label", "* Work ::: Home");
            person.set(
                "E-mail 1 - Value",
                format!("p{number}@{domain} ::: p{number}.private@example.net"),
            );
        } else {
            person.set(
                "E-mail 1 - Label",
                *dice.pick(&["* Work", "* ", "Home", "* Other"]),
            );
            person.set("E-mail 1 - Value", format!("P{number}.Contact@{domain}"));
        }
    }
    if dice.percent(25) {
        person.set("E-mail 2 - Label", "Home");
        person.set("E-mail 2 - Value", format!("person{number}+mail@example.org"));
    }
    let digits = dice.roll(100);
    let phone = match dice.roll(4) {
        0 => format!("+1 202-555-01{digits:02}"),
        1 => format!("+44 20 7946 0{:03}", dice.roll(1000)),
        2 => format!("+49 30 23125 {:03}", dice.roll(1000)),
        _ => format!(
            "+1 (202) 555-01{digits:02} ::: +44 20 7946 0{:03}",
            dice.roll(1000)
        ),
    };
    if dice.percent(80) {
        person.set("Phone 1 - Label", *dice.pick(&["Mobile", "* Work", "Home"]));
        person.set("Phone 1 - Value", phone);
    }
    if dice.percent(20) {
        person.set("Phone 2 - Label", "Assistant");
        person.set(
            "Phone 2 - Value",
            format!("+49 (0)30 23125-{:03}", dice.roll(1000)),
        );
    }
    if dice.percent(40) {
        let (street, city, code, country) = *dice.pick(&STREETS);
        person.set("Address 1 - Label", "* Home");
        person.set(
            "Address 1 - Formatted",
            format!("{street}\n{code} {city}\n{country}"),
        );
        person.set("Address 1 - Street", street);
        person.set("Address 1 - City", city);
        person.set("Address 1 - Postal Code", code);
        person.set("Address 1 - Country", country);
    }
    if dice.percent(20) {
        person.set("Website 1 - Label", "Profile");
        person.set(
            "Website 1 - Value",
            format!("https://people.example.org/p/{number}"),
        );
    }
}

fn life(person: &mut Person, dice: &mut Dice) {
    let (month, day) = (dice.roll(12) + 1, dice.roll(28) + 1);
    match dice.roll(10) {
        0..=3 => person.set(
            "Birthday",
            format!("{}-{month:02}-{day:02}", 1940 + dice.roll(65)),
        ),
        4 | 5 => person.set("Birthday", format!(" --{month:02}-{day:02}")),
        6 if month == 2 => person.set("Birthday", " --02-29"),
        _ => {}
    }
    if dice.percent(10) {
        person.set("Event 1 - Label", *dice.pick(&["Anniversary", "First met"]));
        person.set(
            "Event 1 - Value",
            format!("{}-{month:02}-{day:02}", 2000 + dice.roll(24)),
        );
    }
    if dice.percent(10) {
        person.set("Relation 1 - Label", *dice.pick(&["Spouse", "Sister", "Manager"]));
        person.set("Relation 1 - Value", "Elsie Fairweather");
    }
    if dice.percent(10) {
        person.set(
            "Custom Field 1 - Label",
            *dice.pick(&["Shoe size", "Lieblingsessen"]),
        );
        person.set(
            "Custom Field 1 - Value",
            *dice.pick(&["42", "Käsespätzle, scharf"]),
        );
    }
    if dice.percent(40) {
        person.set("Notes", *dice.pick(&NOTES));
    }
    let mut labels: Vec<&str> = TAGS.into_iter().filter(|_| dice.percent(12)).collect();
    labels.push("* myContacts");
    person.set("Labels", labels.join(" ::: "));
}
