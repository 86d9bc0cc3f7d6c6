//! Made-up values, so that a pass over a node goes on behind a place where something is wrong.

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor,
};

use super::error::DecodeError;
use super::session::Place;

/// How many different values are tried at a place before the rest of its surroundings stays unchecked.
pub(super) const VARIETIES: usize = TEXTS.len();

/// Texts that at least one of the usual text types takes.
const TEXTS: [&str; 8] =
    ["x", "1", "30s", "http://localhost/", "2000-01-01T00:00:00Z", "2000-01-01T00:00:00", "0 0 * * *", "UTC"];

/// Structs within made-up structs.
const MAX_DEPTH: usize = 8;

/// A value of whatever type is asked for.
#[derive(Clone)]
pub(super) struct Made {
    variety: usize,
    place: Place,
    depth: usize,
}

impl Made {
    pub(super) fn new(variety: usize, place: Place) -> Self {
        Self { variety, place, depth: 0 }
    }

    fn deeper(&self) -> Result<Self, DecodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(DecodeError::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, ..self.clone() })
    }

    fn text(&self) -> &'static str {
        TEXTS[self.variety % TEXTS.len()]
    }
}

impl<'de> IntoDeserializer<'de, DecodeError> for Made {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! made {
    ($($method:ident $visit:ident $value:expr,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.$visit($value).map_err(|error: DecodeError| error.at(|| self.place))
        }
    )*};
}

impl<'de> Deserializer<'de> for Made {
    type Error = DecodeError;

    made! {
        deserialize_bool visit_bool true,
        deserialize_i8 visit_i8 1,
        deserialize_i16 visit_i16 1,
        deserialize_i32 visit_i32 1,
        deserialize_i64 visit_i64 1,
        deserialize_i128 visit_i128 1,
        deserialize_u8 visit_u8 1,
        deserialize_u16 visit_u16 1,
        deserialize_u32 visit_u32 1,
        deserialize_u64 visit_u64 1,
        deserialize_u128 visit_u128 1,
        deserialize_f32 visit_f32 1.0,
        deserialize_f64 visit_f64 1.0,
        deserialize_char visit_char 'x',
        deserialize_bytes visit_bytes b"x",
        deserialize_byte_buf visit_bytes b"x",
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_str(self.text()).map_err(|error: DecodeError| error.at(|| self.place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.variety {
            0 => visitor.visit_u64(1),
            1 => visitor.visit_str("x"),
            2 => visitor.visit_unit(),
            3 => visitor.visit_bool(true),
            4 => visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Self>())),
            5 => visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&str, Self)>())),
            _ => visitor.visit_str(self.text()),
        }
        .map_err(|error: DecodeError| error.at(|| self.place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_none().map_err(|error: DecodeError| error.at(|| self.place))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit().map_err(|error: DecodeError| error.at(|| self.place))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let place = self.place.clone();
        visitor.visit_newtype_struct(self).map_err(|error: DecodeError| error.at(|| place))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // Most lists may be empty; some want one element.
        let length = self.variety % 2;
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        let element = self.deeper().map_err(|error| error.at(|| self.place.clone()))?;
        let elements = SeqDeserializer::new(std::iter::repeat_n(element, length));
        visitor.visit_seq(elements).map_err(|error: DecodeError| error.at(|| self.place))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let entry = self.deeper().map_err(|error| error.at(|| self.place.clone()))?;
        let entries = std::iter::repeat_n(("x", entry), self.variety % 2);
        visitor.visit_map(MapDeserializer::new(entries)).map_err(|error: DecodeError| error.at(|| self.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let value = self.deeper().map_err(|error| error.at(|| self.place.clone()))?;
        let entries = fields.iter().map(|field| (*field, value.clone()));
        visitor.visit_map(MapDeserializer::new(entries)).map_err(|error: DecodeError| error.at(|| self.place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let place = self.place.clone();
        let made = self.deeper().map_err(|error| error.at(|| place.clone()))?;
        let Some(variant) = variants.get(self.variety % variants.len().max(1)) else {
            return Err(DecodeError::custom("there is no variant").at(|| place));
        };
        visitor.visit_enum(MadeVariant { made, variant }).map_err(|error: DecodeError| error.at(|| place))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }
}

struct MadeVariant {
    made: Made,
    variant: &'static str,
}

impl<'de> EnumAccess<'de> for MadeVariant {
    type Error = DecodeError;
    type Variant = Made;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Made), DecodeError> {
        Ok((seed.deserialize(StrDeserializer::new(self.variant))?, self.made))
    }
}

impl<'de> VariantAccess<'de> for Made {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_struct("", fields, visitor)
    }
}
