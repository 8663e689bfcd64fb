//! Where the number of a point stands: beside it, and on no other number and no other point.

/// A place in a picture, in pixels from its left upper corner.
pub(crate) type Place = (i32, i32);

/// How high a number is, in pixels.
const HEIGHT: i32 = 12;

/// How wide one of its digits is.
const DIGIT: i32 = 7;

/// How far a point reaches to each side.
const RADIUS: i32 = 4;

/// How far from a point its number may be. One that is further away than the first of them has a line to its point.
const DISTANCES: [i32; 6] = [0, 9, 18, 28, 40, 54];

/// In which directions it is tried, the right upper corner first.
const DIRECTIONS: [(i32, i32); 8] = [(1, -1), (1, 1), (-1, -1), (-1, 1), (1, 0), (0, -1), (0, 1), (-1, 0)];

/// Where a number stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Label {
    /// Its left upper corner.
    pub(crate) at: Place,
    /// The end of a line to its point, where it is not beside that.
    pub(crate) line: Option<Place>,
}

#[derive(Clone, Copy)]
struct Rectangle {
    left: i32,
    top: i32,
    width: i32,
    height: i32,
}

impl Rectangle {
    fn touches(self, other: Rectangle) -> bool {
        self.left < other.left + other.width
            && other.left < self.left + self.width
            && self.top < other.top + other.height
            && other.top < self.top + self.height
    }

    fn is_within(self, (width, height): (i32, i32)) -> bool {
        self.left >= 0 && self.top >= 0 && self.left + self.width <= width && self.top + self.height <= height
    }

    fn around((x, y): Place) -> Rectangle {
        Rectangle { left: x - RADIUS, top: y - RADIUS, width: 2 * RADIUS, height: 2 * RADIUS }
    }

    /// Where it is nearest to a point outside of it.
    fn nearest_to(self, (x, y): Place) -> Place {
        (x.clamp(self.left, self.left + self.width), y.clamp(self.top, self.top + self.height))
    }
}

/// A place for the number of each point in a picture of this size, one after the other. Where there is no room left a number stands
/// beside its point, whatever it touches.
pub(crate) fn place(points: &[(usize, Place)], size: (i32, i32)) -> Vec<Label> {
    let circles: Vec<Rectangle> = points.iter().map(|(_, at)| Rectangle::around(*at)).collect();
    let mut taken: Vec<Rectangle> = Vec::new();
    let label = |(number, at): &(usize, Place)| {
        let digits = i32::try_from(number.to_string().len()).unwrap_or(1);
        let tried = |far: i32| DIRECTIONS.into_iter().map(move |way| (far, beside(*at, way, far, digits * DIGIT)));
        let is_free = |there: Rectangle| {
            there.is_within(size) && !circles.iter().chain(&taken).any(|other| there.touches(*other))
        };
        let free = DISTANCES.into_iter().flat_map(tried).find(|(_, there)| is_free(*there));
        let (far, there) = free.unwrap_or((0, beside(*at, DIRECTIONS[0], 0, digits * DIGIT)));
        taken.push(there);
        Label { at: (there.left, there.top), line: (far > DISTANCES[0]).then(|| there.nearest_to(*at)) }
    };
    points.iter().map(label).collect()
}

/// A number of this width in a direction from a point, so far from its edge.
fn beside((x, y): Place, (right, down): (i32, i32), far: i32, width: i32) -> Rectangle {
    let away = RADIUS + 1 + far;
    let along = |way: i32, at: i32, size: i32| match way {
        1 => at + away,
        -1 => at - away - size,
        _ => at - size / 2,
    };
    // In a corner it is so near that it stands beside the circle's own corner.
    let closer = if right != 0 && down != 0 { RADIUS } else { 0 };
    Rectangle {
        left: along(right, x, width) - right * closer / 2,
        top: along(down, y, HEIGHT) - down * closer,
        width,
        height: HEIGHT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangles(points: &[(usize, Place)], labels: &[Label]) -> Vec<Rectangle> {
        let of = |((number, _), label): (&(usize, Place), &Label)| Rectangle {
            left: label.at.0,
            top: label.at.1,
            width: number.to_string().len() as i32 * DIGIT,
            height: HEIGHT,
        };
        points.iter().zip(labels).map(of).collect()
    }

    /// Sixteen cells of a matrix, of which most are as good as alike.
    #[test]
    fn no_number_touches_another_or_a_point() {
        let size = (200, 150);
        let points: Vec<(usize, Place)> =
            (1..=16).map(|n| (n, (20 + (n as i32 * 7) % 24, 80 + (n as i32 * 5) % 18))).collect();
        let labels = place(&points, size);
        let all = rectangles(&points, &labels);
        for (index, one) in all.iter().enumerate() {
            assert!(one.is_within(size));
            assert!(all[..index].iter().all(|other| !one.touches(*other)), "{labels:?}");
            assert!(points.iter().all(|(_, at)| !one.touches(Rectangle::around(*at))), "{labels:?}");
        }
    }

    #[test]
    fn a_number_is_beside_its_point_where_there_is_room() {
        let labels = place(&[(1, (50, 50)), (2, (150, 0))], (200, 150));
        assert!(labels.iter().all(|label| label.line.is_none()), "{labels:?}");
        assert!(labels[0].at.0 > 50 && labels[0].at.1 < 50 && labels[1].at.1 >= 0, "{labels:?}");
    }

    #[test]
    fn without_room_each_has_a_place_all_the_same() {
        let points: Vec<(usize, Place)> = (1..=200).map(|n| (n, (10, 10))).collect();
        assert_eq!(place(&points, (40, 40)).len(), 200);
    }
}
