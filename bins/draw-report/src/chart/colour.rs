//! The colours of pictures: those of Okabe and Ito, which people who see fewer colours can tell apart. The style sheet gives
//! each of them another shade on a dark page (`page.css`, by its number), so no two may be the same.

use plotters::style::RGBColor;

pub(crate) const INK: RGBColor = RGBColor(0x24, 0x29, 0x2F);
pub(crate) const FAINT: RGBColor = RGBColor(0x6B, 0x72, 0x7A);
pub(crate) const GRID: RGBColor = RGBColor(0xDD, 0xE1, 0xE6);
/// The time without an ack.
pub(crate) const OUTAGE: RGBColor = RGBColor(0xFB, 0xE3, 0xD3);
/// The time in which standbys were cut off.
pub(crate) const CUT: RGBColor = RGBColor(0xEC, 0xEE, 0xF1);
pub(crate) const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
pub(crate) const SKY: RGBColor = RGBColor(0x56, 0xB4, 0xE9);
pub(crate) const VERMILION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
pub(crate) const ORANGE: RGBColor = RGBColor(0xE6, 0x9F, 0x00);
pub(crate) const GREEN: RGBColor = RGBColor(0x00, 0x9E, 0x73);
pub(crate) const PURPLE: RGBColor = RGBColor(0xCC, 0x79, 0xA7);

/// Those for things of which there are several, in order.
pub(crate) const SERIES: [RGBColor; 5] = [BLUE, ORANGE, GREEN, PURPLE, SKY];

/// A colour as the style sheet and plotters write it.
pub(crate) fn number(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_colour_is_unlike_the_others_and_has_a_shade_for_dark_pages() {
        let all = [INK, FAINT, GRID, OUTAGE, CUT, BLUE, SKY, VERMILION, ORANGE, GREEN, PURPLE].map(number);
        let css = include_str!("../page.css");
        for (index, colour) in all.iter().enumerate() {
            assert!(!all[..index].contains(colour), "{colour} is there twice");
            assert!(css.contains(&format!("[fill=\"{colour}\"]")), "page.css has no shade for {colour}");
            assert!(css.contains(&format!("[stroke=\"{colour}\"]")), "page.css has no shade for lines of {colour}");
        }
    }
}
