//! Scalars whose form a client can rely on, and dates of which parts may be unknown.

use async_graphql::{
    InputObject, InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value,
};
use domain::partial_date::PartialDate as Partial;

macro_rules! text_scalar {
    ($(#[$about:meta])* $name:ident, $text:literal, $url:literal) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) String);

        $(#[$about])*
        #[Scalar(name = $text, specified_by_url = $url)]
        impl ScalarType for $name {
            fn parse(value: Value) -> InputValueResult<Self> {
                match value {
                    Value::String(text) => Ok(Self(text)),
                    other => Err(InputValueError::expected_type(other)),
                }
            }
            fn is_valid(value: &Value) -> bool {
                matches!(value, Value::String(_))
            }
            fn to_value(&self) -> Value {
                Value::String(self.0.clone())
            }
        }
    };
}

text_scalar! {
    /// An e-mail address (RFC 5322 addr-spec, without comments and quotes). An input that is none is reported in `userErrors`.
    EmailAddress, "EmailAddress", "https://www.rfc-editor.org/rfc/rfc5322#section-3.4.1"
}
text_scalar! {
    /// A phone number in E.164, such as `+12025550123`.
    PhoneNumber, "PhoneNumber", "https://www.itu.int/rec/T-REC-E.164"
}
text_scalar! {
    /// A URL of scheme http or https. An input that is none is reported in `userErrors`.
    Url, "Url", "https://url.spec.whatwg.org/"
}
text_scalar! {
    /// The name of a time zone of the IANA database, such as `Europe/Berlin`. An input that is none is reported in `userErrors`.
    TimeZone, "TimeZone", "https://www.iana.org/time-zones"
}

/// A civil date as far as it is known: whole, without its year, or without its day or month.
#[derive(SimpleObject, Clone, Copy)]
pub(crate) struct PartialDate {
    /// The year, if it is known.
    /// Scope: any.
    year: Option<i32>,
    /// The month, 1 to 12, if it is known.
    /// Scope: any.
    month: Option<i32>,
    /// The day, 1 to 31, if it is known.
    /// Scope: any.
    day: Option<i32>,
}

impl PartialDate {
    /// From the three columns; none if all are empty.
    pub(crate) fn of(year: Option<i16>, month: Option<i16>, day: Option<i16>) -> Option<Self> {
        if year.is_none() && month.is_none() && day.is_none() {
            return None;
        }
        Some(Self {
            year: year.map(i32::from),
            month: month.map(i32::from),
            day: day.map(i32::from),
        })
    }
}

/// A civil date as far as it is known: whole, `month` and `day` without the year, `year` and `month`, or `year` alone.
#[derive(InputObject, Clone, Copy)]
pub(crate) struct PartialDateInput {
    /// The year, 1 to 9999.
    year: Option<i32>,
    /// The month, 1 to 12.
    month: Option<i32>,
    /// The day, 1 to 31, as far as the month has it.
    day: Option<i32>,
}

impl PartialDateInput {
    /// The date; none if there is no such.
    pub(crate) fn date(self) -> Option<Partial> {
        let year = self.year.map(i16::try_from).transpose().ok()?;
        let month = self.month.map(u8::try_from).transpose().ok()?;
        let day = self.day.map(u8::try_from).transpose().ok()?;
        Partial::new(year, month, day).ok()
    }
}
