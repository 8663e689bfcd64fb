//! Pictures: SVG inside of the page. Each is drawn twice, for a wide and for a narrow screen, for text that shrinks with its
//! picture cannot be read on a phone; the style sheet shows one of them.

pub(crate) mod clients;
pub(crate) mod colour;
pub(crate) mod history;
mod labels;
pub(crate) mod lag;
pub(crate) mod latency;
pub(crate) mod modes;
pub(crate) mod parts;
pub(crate) mod spread;
pub(crate) mod time_line;

use anyhow::Result;
use plotters::chart::MeshStyle;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::{DrawingArea, DrawingBackend, IntoDrawingArea as _, IntoFont as _, SVGBackend, TextStyle};
use plotters::style::{Color as _, FontTransform, RGBColor, TRANSPARENT};

use self::colour::{FAINT, GRID, INK};
use crate::html;

/// A picture's height of text, in pixels.
const TEXT_PX: f64 = 12.0;

/// plotters takes the size of a font's em box, and writes down this many times less.
const EM_BOX: f64 = 1.24;

/// What a picture is painted on.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// For which screen a picture is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    Wide,
    Narrow,
}

impl Screen {
    /// Width of the picture, in pixels. The narrow one fits a screen of 360.
    pub(crate) fn width(self) -> u32 {
        match self {
            Screen::Wide => 860,
            Screen::Narrow => 328,
        }
    }

    /// How many intervals or points fit beside each other and can be told apart.
    pub(crate) fn most_points(self) -> u64 {
        u64::from(self.width() / 5)
    }

    /// How many labels of numbers fit beside each other.
    pub(crate) fn labels(self) -> usize {
        match self {
            Screen::Wide => 9,
            Screen::Narrow => 4,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Screen::Wide => "wide",
            Screen::Narrow => "narrow",
        }
    }
}

/// A picture with what stands below it. `alt` is for those who cannot see it.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn figure(
    alt: &str,
    caption: &str,
    height: u32,
    paint: impl Fn(&Area<'_>, Screen) -> Result<()>,
) -> Result<String> {
    figure_of_height(alt, caption, |_| height, paint)
}

/// The same, of another height on another screen.
///
/// # Errors
/// If it cannot be painted.
pub(crate) fn figure_of_height(
    alt: &str,
    caption: &str,
    height: impl Fn(Screen) -> u32,
    paint: impl Fn(&Area<'_>, Screen) -> Result<()>,
) -> Result<String> {
    let mut pictures = String::new();
    for screen in [Screen::Wide, Screen::Narrow] {
        let (height, mut svg) = (height(screen), String::new());
        {
            let area = SVGBackend::with_string(&mut svg, (screen.width(), height)).into_drawing_area();
            paint(&area, screen)?;
            area.present()?;
        }
        pictures.push_str(&named(&svg, screen, height, alt));
    }
    Ok(format!("<figure>{pictures}<figcaption>{caption}</figcaption></figure>\n"))
}

/// The picture with its name, and without the size that would keep it from fitting the page.
fn named(svg: &str, screen: Screen, height: u32, alt: &str) -> String {
    let size = format!("<svg width=\"{}\" height=\"{height}\"", screen.width());
    let named = format!("<svg class=\"{}\" role=\"img\" aria-label=\"{}\"", screen.class(), html::text(alt));
    svg.replacen(&size, &named, 1)
}

/// How all pictures show their axes: a line at each label, in grey.
pub(crate) fn axes<'a, 'b, X: Ranged, Y: Ranged, DB: DrawingBackend>(
    mut mesh: MeshStyle<'a, 'b, X, Y, DB>,
) -> MeshStyle<'a, 'b, X, Y, DB> {
    mesh.bold_line_style(GRID).light_line_style(TRANSPARENT).axis_style(FAINT).label_style(words(INK));
    mesh
}

/// The style of a picture's words.
pub(crate) fn words(colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", TEXT_PX * EM_BOX).into_font().color(&colour)
}

/// The same, to be read from below.
pub(crate) fn upright_words(colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", TEXT_PX * EM_BOX).into_font().transform(FontTransform::Rotate270).color(&colour)
}

/// A time as it stands at an axis: `100 ms`, `2 s`.
pub(crate) fn round_us(us: u64) -> String {
    report::show::us(us).replace(".00 ", " ")
}

/// How wide some words are in a picture, in pixels: roughly, for it depends on the reader's fonts.
pub(crate) fn width_px(words: &str) -> f64 {
    words.chars().count() as f64 * TEXT_PX * 0.56
}

/// A colour as plotters wants it for a shape that is filled.
pub(crate) fn filled(colour: RGBColor) -> plotters::style::ShapeStyle {
    colour.filled()
}
