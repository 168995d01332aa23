//! A date of which the year, or the month and day, may be unknown: birthdays above all.

use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Apple's address book writes this year into a date whose year is unknown.
const APPLE_UNKNOWN_YEAR: i16 = 1604;

/// A calendar date with parts missing: a day of a month, a month of a year, or a year alone.
///
/// It has no time zone and never passes through an instant, so that it can't move by a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartialDate {
    year: Option<i16>,
    month: Option<u8>,
    day: Option<u8>,
}

/// Why three numbers are not a partial date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PartialDateError {
    /// Nothing is known.
    #[error("a date needs at least a year, or a month and a day")]
    Empty,
    /// The year is not from 1 to 9999.
    #[error("the year must be from 1 to 9999")]
    Year,
    /// The month is not from 1 to 12.
    #[error("the month must be from 1 to 12")]
    Month,
    /// The month doesn't have this day (in this year, when the year is known).
    #[error("the month has no such day")]
    Day,
    /// A day without its month.
    #[error("a day needs its month")]
    DayWithoutMonth,
    /// A month with neither year nor day.
    #[error("a month needs a year or a day")]
    MonthAlone,
}

impl PartialDate {
    /// Checks the parts; 29 February is accepted when the year is unknown.
    pub fn new(year: Option<i16>, month: Option<u8>, day: Option<u8>) -> Result<Self, PartialDateError> {
        if year.is_some_and(|year| !(1..=9999).contains(&year)) {
            return Err(PartialDateError::Year);
        }
        match (year, month, day) {
            (None, None, None) => return Err(PartialDateError::Empty),
            (_, None, Some(_)) => return Err(PartialDateError::DayWithoutMonth),
            (_, None, None) => {}
            (_, Some(month), _) if !(1..=12).contains(&month) => return Err(PartialDateError::Month),
            (None, Some(_), None) => return Err(PartialDateError::MonthAlone),
            (_, Some(_), None) => {}
            (_, Some(month), Some(day)) if !(1..=days_in(year, month)).contains(&day) => {
                return Err(PartialDateError::Day);
            }
            (_, Some(_), Some(_)) => {}
        }
        Ok(Self { year, month, day })
    }

    /// Reads the ISO 8601 shapes that address books write: `1980-07-01`, `19800701`, `--07-01`, `--0701`,
    /// `1980-07` and `1980`. In a full date the years 0000 and 1604 stand for "unknown".
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(' ');
        let bytes = text.as_bytes();
        if !bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-') {
            return None;
        }
        let number = |from: usize, to: usize| -> Option<u16> {
            let digits = text.get(from..to)?;
            // `parse` would take a sign, so the digits are looked at first.
            digits
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| digits.parse().ok())?
        };
        let dash = |at: usize| bytes.get(at) == Some(&b'-');
        let month_day = |month: Option<u16>, day: Option<u16>| Self::checked(None, month?, Some(day?));
        match bytes.len() {
            4 => Self::new(Some(i16::try_from(number(0, 4)?).ok()?), None, None).ok(),
            6 if dash(0) && dash(1) => month_day(number(2, 4), number(4, 6)),
            7 if dash(0) && dash(1) && dash(4) => month_day(number(2, 4), number(5, 7)),
            7 if dash(4) => Self::checked(Some(number(0, 4)?), number(5, 7)?, None),
            8 => Self::full(number(0, 4)?, number(4, 6)?, number(6, 8)?),
            10 if dash(4) && dash(7) => Self::full(number(0, 4)?, number(5, 7)?, number(8, 10)?),
            _ => None,
        }
    }

    fn full(year: u16, month: u16, day: u16) -> Option<Self> {
        let known = year != 0 && i16::try_from(year).ok() != Some(APPLE_UNKNOWN_YEAR);
        Self::checked(known.then_some(year), month, Some(day))
    }

    fn checked(year: Option<u16>, month: u16, day: Option<u16>) -> Option<Self> {
        let year = year.map(i16::try_from).transpose().ok()?;
        let day = day.map(u8::try_from).transpose().ok()?;
        Self::new(year, Some(u8::try_from(month).ok()?), day).ok()
    }

    /// The year, from 1 to 9999.
    #[must_use]
    pub fn year(self) -> Option<i16> {
        self.year
    }

    /// The month, from 1 to 12.
    #[must_use]
    pub fn month(self) -> Option<u8> {
        self.month
    }

    /// The day of the month, from 1.
    #[must_use]
    pub fn day(self) -> Option<u8> {
        self.day
    }
}

/// The days of a month; without a year, February has 29.
fn days_in(year: Option<i16>, month: u8) -> u8 {
    match month {
        2 if year.is_none_or(|year| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.year {
            Some(year) => write!(f, "{year:04}")?,
            None => f.write_str("-")?,
        }
        if let Some(month) = self.month {
            write!(f, "-{month:02}")?;
        }
        if let Some(day) = self.day {
            write!(f, "-{day:02}")?;
        }
        Ok(())
    }
}

impl Serialize for PartialDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_address_books_write() {
        for (text, shown) in [
            ("1980-07-01", "1980-07-01"),
            ("19800701", "1980-07-01"),
            ("--07-01", "--07-01"),
            (" --07-01", "--07-01"),
            ("--0701", "--07-01"),
            ("--02-29", "--02-29"),
            ("1980-07", "1980-07"),
            ("1980", "1980"),
            ("0000-07-01", "--07-01"),
            ("1604-07-01", "--07-01"),
            ("2000-02-29", "2000-02-29"),
        ] {
            assert_eq!(PartialDate::parse(text).unwrap().to_string(), shown, "{text:?}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "--",
            "-",
            "0000",
            "0000-07",
            "1980-13-01",
            "1980-02-30",
            "1900-02-29",
            "1981-02-29",
            "--02-30",
            "--07",
            "07-01",
            "1980-7-1",
            "1980/07/01",
            "01.07.1980",
            "+980-07-01",
            "1980-07-01T00:00",
            "١٩٨٠",
            "--07-1-",
            "----01",
        ] {
            assert_eq!(PartialDate::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_constructor_names_what_is_wrong() {
        use PartialDateError as E;
        assert_eq!(PartialDate::new(None, None, None), Err(E::Empty));
        assert_eq!(
            PartialDate::new(Some(1980), None, Some(1)),
            Err(E::DayWithoutMonth)
        );
        assert_eq!(PartialDate::new(None, Some(7), None), Err(E::MonthAlone));
        assert_eq!(PartialDate::new(Some(0), None, None), Err(E::Year));
        assert_eq!(PartialDate::new(None, Some(0), Some(1)), Err(E::Month));
        assert_eq!(PartialDate::new(Some(2023), Some(2), Some(29)), Err(E::Day));
        assert!(PartialDate::new(None, Some(2), Some(29)).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(text in "[-0-9]{0,11}|\\PC{0,12}") {
            if let Some(date) = PartialDate::parse(&text) {
                prop_assert_eq!(PartialDate::parse(&date.to_string()), Some(date));
            }
        }
    }
}
