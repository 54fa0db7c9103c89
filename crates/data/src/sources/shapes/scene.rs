//! What is on an image, as attributes and as a caption.

/// The values of an attribute, in the order of their numbers.
pub trait Attribute: Copy + PartialEq + 'static {
    /// What it is called in reports.
    const NAME: &'static str;
    /// All values.
    const ALL: &'static [Self];

    /// The word or words that stand for it in captions.
    fn words(self) -> &'static str;

    /// Its number.
    fn number(self) -> usize {
        Self::ALL.iter().position(|&value| value == self).unwrap_or(0)
    }
}

/// An attribute with its values and their words.
macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident, $label:literal, $($value:ident = $words:literal),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the values' names say it")]
        pub enum $name { $($value),+ }

        impl Attribute for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn words(self) -> &'static str {
                match self { $(Self::$value => $words),+ }
            }
        }
    };
}

attribute!(
    /// How many.
    Count, "count", One = "a", Two = "two", Three = "three"
);
attribute!(
    /// How large.
    Size, "size", Small = "small", Large = "large"
);
attribute!(
    /// Which colour.
    Colour, "colour", Red = "red", Green = "green", Blue = "blue", Yellow = "yellow", Purple = "purple", Black = "black"
);
attribute!(
    /// Which shape.
    Shape, "shape", Circle = "circle", Square = "square", Triangle = "triangle", Ring = "ring"
);
attribute!(
    /// Where.
    Place, "place",
    Middle = "in the middle",
    TopLeft = "at the top left",
    TopRight = "at the top right",
    BottomLeft = "at the bottom left",
    BottomRight = "at the bottom right"
);

/// Equal shapes somewhere on a white image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scene {
    /// How many.
    pub count: Count,
    /// How large.
    pub size: Size,
    /// Which colour.
    pub colour: Colour,
    /// Which shape.
    pub shape: Shape,
    /// Where.
    pub place: Place,
}

impl Scene {
    /// Every scene there is, 720 of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let with = |count, size, colour, shape| {
            Place::ALL.iter().map(move |&place| Self { count, size, colour, shape, place })
        };
        Count::ALL.iter().flat_map(move |&count| {
            Size::ALL.iter().flat_map(move |&size| {
                Colour::ALL
                    .iter()
                    .flat_map(move |&colour| Shape::ALL.iter().flat_map(move |&shape| with(count, size, colour, shape)))
            })
        })
    }

    /// Whether training does not see this combination; see the module.
    pub fn is_held_out(self) -> bool {
        (self.colour.number() + 2 * self.shape.number() + 3 * self.place.number()).is_multiple_of(8)
    }

    /// `two small red circles at the top left`
    pub fn caption(self) -> String {
        let plural = if self.count == Count::One { "" } else { "s" };
        format!(
            "{} {} {} {}{plural} {}",
            self.count.words(),
            self.size.words(),
            self.colour.words(),
            self.shape.words(),
            self.place.words()
        )
    }

    /// The attributes that a caption names, each by the last mention of any of its values; `None` where it names none.
    pub fn attributes_of(caption: &str) -> Named {
        // Punctuation parts words as spaces do.
        let words: Vec<String> = caption
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let caption = format!(" {} ", words.join(" "));
        Named {
            count: named(&caption),
            size: named(&caption),
            colour: named(&caption),
            shape: named(&caption),
            place: named(&caption),
        }
    }
}

/// The attributes that a caption names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// How many.
    pub count: Option<Count>,
    /// How large.
    pub size: Option<Size>,
    /// Which colour.
    pub colour: Option<Colour>,
    /// Which shape.
    pub shape: Option<Shape>,
    /// Where.
    pub place: Option<Place>,
}

fn named<A: Attribute>(caption: &str) -> Option<A> {
    let found = A::ALL.iter().filter_map(|&value| {
        let words = value.words();
        // A shape may be in the plural.
        let at = [format!(" {words} "), format!(" {words}s ")].iter().filter_map(|words| caption.rfind(words)).max()?;
        Some((at, value))
    });
    found.max_by_key(|(at, _)| *at).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_scene_has_a_caption_of_its_own_from_which_it_is_read_again() {
        let mut captions = HashSet::new();
        for scene in Scene::all() {
            let caption = scene.caption();
            let Named { count, size, colour, shape, place } = Scene::attributes_of(&caption);
            assert_eq!((count, size, colour), (Some(scene.count), Some(scene.size), Some(scene.colour)), "{caption}");
            assert_eq!((shape, place), (Some(scene.shape), Some(scene.place)), "{caption}");
            assert!(captions.insert(caption));
        }
        assert_eq!(captions.len(), 720);
        assert_eq!(Scene::all().filter(|scene| scene.is_held_out()).count(), 90);
        let stopped = Scene::attributes_of("A circle; no: two small red circles, at the top left.");
        assert_eq!((stopped.shape, stopped.place), (Some(Shape::Circle), Some(Place::TopLeft)));
        let half = Scene::attributes_of("Two red things");
        assert_eq!((half.count, half.colour, half.shape), (Some(Count::Two), Some(Colour::Red), None));
    }
}
