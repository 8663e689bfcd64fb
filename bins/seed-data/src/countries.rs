//! The words that rows are made of: names, towns and streets of some countries, from `fake`.
//!
//! They are made once and are the same for every seed: with another seed, other people live in the same towns.

use std::sync::LazyLock;

use fake::faker::address::raw::{CityName, StreetName};
use fake::locales::{DE_DE, Data, EN, FR_FR, IT_IT, NL_NL, PT_PT};
use fake::rand::SeedableRng as _;
use fake::rand::rngs::ChaCha8Rng;
use fake::{Dummy, Fake as _};

/// Towns and streets of each country: enough that an index on them has something to do.
const NAMES_OF_PLACES: usize = 1_000;

/// Words of a note on an order.
pub(crate) const NOTE_WORDS: &[&str] = EN::LOREM_WORD;

/// A name as it is written, and as an e-mail address can hold it.
pub(crate) struct Name {
    /// As it is written: `Jürgen`, `O'Keefe`.
    pub(crate) text: &'static str,
    /// Lower-case letters only: `jurgen`, `okeefe`.
    pub(crate) ascii: String,
}

/// A country and what things are called there.
pub(crate) struct Country {
    /// ISO 3166 code.
    pub(crate) code: &'static str,
    pub(crate) first_names: Vec<Name>,
    pub(crate) last_names: Vec<Name>,
    pub(crate) cities: Vec<String>,
    /// Streets, without a number.
    pub(crate) streets: Vec<String>,
    /// How phone numbers look; each `#` stands for a digit.
    pub(crate) phone: &'static str,
    /// Whether the number comes before the street.
    pub(crate) number_first: bool,
}

pub(crate) static COUNTRIES: LazyLock<Vec<Country>> = LazyLock::new(|| {
    vec![
        country(EN, "US", "+1 555 ### ####", true),
        country(EN, "GB", "+44 7700 ######", true),
        country(DE_DE, "DE", "+49 151 ########", false),
        country(FR_FR, "FR", "+33 6 ## ## ## ##", true),
        country(IT_IT, "IT", "+39 3## #######", false),
        country(NL_NL, "NL", "+31 6 ########", false),
        country(PT_PT, "PT", "+351 9## ### ###", false),
    ]
});

fn country<L: Data + Copy>(locale: L, code: &'static str, phone: &'static str, number_first: bool) -> Country
where
    String: Dummy<CityName<L>> + Dummy<StreetName<L>>,
{
    let mut chance = ChaCha8Rng::from_seed([0; 32]);
    Country {
        code,
        first_names: names(L::NAME_FIRST_NAME),
        last_names: names(L::NAME_LAST_NAME),
        cities: invented(|| CityName(locale).fake_with_rng(&mut chance)),
        streets: invented(|| StreetName(locale).fake_with_rng(&mut chance)),
        phone,
        number_first,
    }
}

fn names(words: &[&'static str]) -> Vec<Name> {
    let letters = |text: &str| -> String {
        deunicode::deunicode(text).chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_lowercase()).collect()
    };
    words.iter().map(|text| Name { text, ascii: letters(text) }).collect()
}

/// Asks `fake` until there are enough names. Now and then it makes "West Dr. Jane Doe IVmouth": such names are left out.
fn invented(make: impl FnMut() -> String) -> Vec<String> {
    let plausible = |name: &String| name.split(' ').count() <= 3 && !name.contains('.');
    std::iter::repeat_with(make).filter(plausible).take(NAMES_OF_PLACES).collect()
}

#[cfg(test)]
mod tests {
    use super::COUNTRIES;

    #[test]
    fn every_name_can_be_part_of_an_address() {
        for country in COUNTRIES.iter() {
            for name in country.first_names.iter().chain(&country.last_names) {
                assert!(!name.ascii.is_empty(), "{}: {}", country.code, name.text);
                assert!(name.ascii.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", name.ascii);
            }
        }
    }

    #[test]
    fn not_all_names_are_ascii() {
        assert!(COUNTRIES.iter().any(|country| country.first_names.iter().any(|name| !name.text.is_ascii())));
    }
}
