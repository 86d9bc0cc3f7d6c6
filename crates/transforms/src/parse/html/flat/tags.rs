//! The names of elements as small numbers, and what the rules of HTML say about them.

/// The name of an element; those from [`UNKNOWN`] on are kept by the page.
pub(super) type Tag = u16;

macro_rules! tags {
    ($($id:ident $name:literal),* $(,)?) => {
        #[expect(clippy::upper_case_acronyms, reason = "the variants only number the constants")]
        #[derive(Clone, Copy)]
        enum Number { $($id),* , COUNT }
        $(pub(super) const $id: Tag = Number::$id as Tag;)*
        /// The first number of a name that is not of HTML.
        pub(super) const UNKNOWN: Tag = Number::COUNT as Tag;
        const NAMES: [&str; UNKNOWN as usize] = [$($name),*];

        /// The number of a name in lower case.
        pub(super) fn known(name: &[u8]) -> Option<Tag> {
            Some(match name {
                $(name if name == $name.as_bytes() => $id,)*
                _ => return None,
            })
        }
    };
}

tags! {
    TEXT "#text", RAW "#raw",
    A "a", ADDRESS "address", APPLET "applet", AREA "area", ARTICLE "article", ASIDE "aside", B "b",
    BASE "base", BASEFONT "basefont", BGSOUND "bgsound", BIG "big", BLOCKQUOTE "blockquote", BODY "body",
    BR "br", BUTTON "button", CAPTION "caption", CENTER "center", CODE "code", COL "col",
    COLGROUP "colgroup", DATALIST "datalist", DD "dd", DESC "desc", DETAILS "details", DIALOG "dialog",
    DIR "dir", DIV "div", DL "dl", DT "dt", EM "em", EMBED "embed", FIELDSET "fieldset",
    FIGCAPTION "figcaption", FIGURE "figure", FONT "font", FOOTER "footer", FORM "form", FRAME "frame",
    FRAMESET "frameset", H1 "h1", H2 "h2", H3 "h3", H4 "h4", H5 "h5", H6 "h6", HEAD "head",
    HEADER "header", HGROUP "hgroup", HR "hr", HTML "html", I "i", IFRAME "iframe", IMAGE "image",
    IMG "img", INPUT "input", KEYGEN "keygen", LEGEND "legend", LI "li", LINK "link", LISTING "listing",
    MAIN "main", MARQUEE "marquee", MATH "math", MENU "menu", META "meta", NAV "nav", NOBR "nobr",
    NOEMBED "noembed", NOFRAMES "noframes", NOSCRIPT "noscript", OBJECT "object", OL "ol",
    OPTGROUP "optgroup", OPTION "option", P "p", PARAM "param", PLAINTEXT "plaintext", PRE "pre",
    RB "rb", RP "rp", RT "rt", RTC "rtc", RUBY "ruby", S "s", SCRIPT "script", SEARCH "search",
    SECTION "section", SELECT "select", SELECTEDCONTENT "selectedcontent", SMALL "small", SOURCE "source",
    SPAN "span", STRIKE "strike", STRONG "strong", STYLE "style", SUB "sub", SUMMARY "summary", SUP "sup",
    SVG "svg", TABLE "table", TBODY "tbody", TD "td", TEMPLATE "template", TEXTAREA "textarea",
    TFOOT "tfoot", TH "th", THEAD "thead", TITLE "title", TR "tr", TRACK "track", TT "tt", U "u",
    UL "ul", VAR "var", WBR "wbr", XMP "xmp",
}

/// The name of a known number.
pub(super) fn name(tag: Tag) -> Option<&'static str> {
    NAMES.get(usize::from(tag)).copied()
}

/// Elements without content.
pub(super) fn is_void(tag: Tag) -> bool {
    matches!(
        tag,
        AREA | BASE
            | BASEFONT
            | BGSOUND
            | BR
            | COL
            | EMBED
            | HR
            | IMG
            | INPUT
            | KEYGEN
            | LINK
            | META
            | PARAM
            | SOURCE
            | TRACK
            | WBR
    )
}

/// Elements whose start ends a paragraph that is open.
pub(super) fn ends_paragraph(tag: Tag) -> bool {
    matches!(
        tag,
        ADDRESS
            | ARTICLE
            | ASIDE
            | BLOCKQUOTE
            | CENTER
            | DD
            | DETAILS
            | DIALOG
            | DIR
            | DIV
            | DL
            | DT
            | FIELDSET
            | FIGCAPTION
            | FIGURE
            | FOOTER
            | FORM
            | H1
            | H2
            | H3
            | H4
            | H5
            | H6
            | HEADER
            | HGROUP
            | HR
            | LI
            | LISTING
            | MAIN
            | MENU
            | NAV
            | OL
            | P
            | PLAINTEXT
            | PRE
            | SEARCH
            | SECTION
            | SUMMARY
            | TABLE
            | UL
            | XMP
    )
}

pub(super) fn is_heading(tag: Tag) -> bool {
    matches!(tag, H1 | H2 | H3 | H4 | H5 | H6)
}

/// Elements that shield an open list item from the start of another one.
pub(super) fn shields_item(tag: Tag) -> bool {
    matches!(
        tag,
        ARTICLE
            | ASIDE
            | BLOCKQUOTE
            | BODY
            | DETAILS
            | DL
            | FIELDSET
            | FIGURE
            | FOOTER
            | FORM
            | HEADER
            | MAIN
            | MENU
            | NAV
            | OL
            | SECTION
            | TABLE
            | TD
            | TH
            | TR
            | UL
    )
}

/// Elements of which only certain parts may stand directly in, and no text.
pub(super) fn is_table_part(tag: Tag) -> bool {
    matches!(tag, TABLE | TBODY | THEAD | TFOOT | TR | COLGROUP)
}

/// Elements that a parser ends by itself where another one begins.
pub(super) fn is_implied_end(tag: Tag) -> bool {
    matches!(tag, DD | DT | LI | OPTGROUP | OPTION | P | RB | RP | RT | RTC)
}

/// Elements that end an SVG image they stand in.
pub(super) fn ends_svg(tag: Tag) -> bool {
    matches!(
        tag,
        B | BIG
            | BLOCKQUOTE
            | BODY
            | BR
            | CENTER
            | CODE
            | DD
            | DIV
            | DL
            | DT
            | EM
            | EMBED
            | FONT
            | H1
            | H2
            | H3
            | H4
            | H5
            | H6
            | HEAD
            | HR
            | I
            | IMG
            | LI
            | LISTING
            | MENU
            | META
            | NOBR
            | OL
            | P
            | PRE
            | RUBY
            | S
            | SMALL
            | SPAN
            | STRONG
            | STRIKE
            | SUB
            | SUP
            | TABLE
            | TT
            | U
            | UL
            | VAR
    )
}

/// Names that have capital letters in SVG.
pub(super) fn svg_name(lower: &str) -> Option<&'static str> {
    const NAMES: [&str; 37] = [
        "altGlyph",
        "altGlyphDef",
        "altGlyphItem",
        "animateColor",
        "animateMotion",
        "animateTransform",
        "clipPath",
        "feBlend",
        "feColorMatrix",
        "feComponentTransfer",
        "feComposite",
        "feConvolveMatrix",
        "feDiffuseLighting",
        "feDisplacementMap",
        "feDistantLight",
        "feDropShadow",
        "feFlood",
        "feFuncA",
        "feFuncB",
        "feFuncG",
        "feFuncR",
        "feGaussianBlur",
        "feImage",
        "feMerge",
        "feMergeNode",
        "feMorphology",
        "feOffset",
        "fePointLight",
        "feSpecularLighting",
        "feSpotLight",
        "feTile",
        "feTurbulence",
        "foreignObject",
        "glyphRef",
        "linearGradient",
        "radialGradient",
        "textPath",
    ];
    NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(lower))
}

/// Attributes that have capital letters in SVG.
pub(super) fn is_svg_attribute(name: &[u8]) -> bool {
    const NAMES: [&str; 58] = [
        "attributename",
        "attributetype",
        "basefrequency",
        "baseprofile",
        "calcmode",
        "clippathunits",
        "diffuseconstant",
        "edgemode",
        "filterunits",
        "glyphref",
        "gradienttransform",
        "gradientunits",
        "kernelmatrix",
        "kernelunitlength",
        "keypoints",
        "keysplines",
        "keytimes",
        "lengthadjust",
        "limitingconeangle",
        "markerheight",
        "markerunits",
        "markerwidth",
        "maskcontentunits",
        "maskunits",
        "numoctaves",
        "pathlength",
        "patterncontentunits",
        "patterntransform",
        "patternunits",
        "pointsatx",
        "pointsaty",
        "pointsatz",
        "preservealpha",
        "preserveaspectratio",
        "primitiveunits",
        "refx",
        "refy",
        "repeatcount",
        "repeatdur",
        "requiredextensions",
        "requiredfeatures",
        "specularconstant",
        "specularexponent",
        "spreadmethod",
        "startoffset",
        "stddeviation",
        "stitchtiles",
        "surfacescale",
        "systemlanguage",
        "tablevalues",
        "targetx",
        "targety",
        "textlength",
        "viewbox",
        "viewtarget",
        "xchannelselector",
        "ychannelselector",
        "zoomandpan",
    ];
    name.len() >= 4 && NAMES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_belong_together() {
        for tag in 0..UNKNOWN {
            assert_eq!(known(name(tag).unwrap().as_bytes()), Some(tag));
        }
        assert_eq!((known(b"x-y"), name(UNKNOWN)), (None, None));
        assert_eq!(svg_name("lineargradient"), Some("linearGradient"));
        assert!(is_svg_attribute(b"viewBox") && !is_svg_attribute(b"id"));
    }
}
