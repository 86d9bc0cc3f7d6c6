//! Compiling a program, and the machine that runs it.

use std::sync::OnceLock;

use jaq_core::data::HasLut;
use jaq_core::load::lex::{StrPart, Tok, Token};
use jaq_core::load::parse::{BinaryOp, Def, Term};
use jaq_core::load::{self, Arena, File, Lexer, Loader};
use jaq_core::native::{self, bome, v};
use jaq_core::{Ctx, DataT, Error, Exn, Filter, Lut, Vars, path};
use pipeline_core::suggest;

use super::convert::shorten;
use super::counted::{count_recursion, reserved};
use super::nesting::with_stack;
use super::ops::refusal;
use super::value::{Object, Val};
use super::vars::JqVars;
use super::{library, meter, search};

const NO_MODULES: &str = "modules and files cannot be loaded: write the definitions into the program";

/// A program ready to run.
pub(super) struct Machine {
    filter: Filter<Kind>,
    /// Whether it may need far more stack than others.
    pub(super) is_deep: bool,
}

/// The kind of data that programs work on.
pub(super) struct Kind;

impl DataT for Kind {
    type V<'a> = Val;
    type Data<'a> = Data<'a>;
}

/// What the native functions see.
#[derive(Clone, Copy)]
pub(super) struct Data<'a> {
    lut: &'a Lut<Kind>,
    vars: &'a JqVars,
}

impl<'a> Data<'a> {
    pub(super) fn new(machine: &'a Machine, vars: &'a JqVars) -> Self {
        Self { lut: &machine.filter.lut, vars }
    }
}

impl<'a> HasLut<'a, Kind> for Data<'a> {
    fn lut(&self) -> &'a Lut<Kind> {
        self.lut
    }
}

/// Counts a step of a loop or a recursion.
fn step() -> Result<Val, Error<Val>> {
    if meter::spend(1) { Ok(Val::Bool(true)) } else { Err(refusal()) }
}

type Native = native::Fun<Kind>;

/// The functions that are not written in jq.
fn natives() -> impl Iterator<Item = Native> {
    // What reads the clock, the environment or the host's zone, or writes, is replaced.
    let mut replaced = vec!["env", "now", "localtime", "strflocaltime", "debug_empty"];
    // So are searches, which know letters of ASCII only.
    let searches = search::functions().into_vec();
    replaced.extend(searches.iter().map(|(name, ..)| *name));
    let standard = jaq_std::funs::<Kind>().filter(move |(name, ..)| !replaced.contains(name));
    let core = jaq_core::funs::<Kind>()
        .map(|(name, args, run)| (if name == "range" { "_range" } else { name }, args, run));
    let own: Box<[native::Filter<jaq_core::RunPtr<Kind>>]> = Box::new([
        ("_step", v(0), |_| bome(step())),
        ("now", v(0), |cv| {
            let now = cv.0.data().vars.clock.now();
            bome(Ok(Val::from(now.timestamp_micros() as f64 / 1e6)))
        }),
        ("debug_empty", v(0), |_| Box::new(std::iter::empty())),
    ]);
    let own = own.into_vec().into_iter().chain(library::functions().into_vec()).chain(searches);
    core.chain(standard).chain(own.map(native::run::<Kind>))
}

/// The functions that are written in jq: parsed once, used by every program.
fn definitions() -> &'static [Def<&'static str>] {
    static DEFINITIONS: OnceLock<Vec<Def<&'static str>>> = OnceLock::new();
    DEFINITIONS.get_or_init(|| {
        let parse = |text| load::parse(text, |parser| parser.defs()).unwrap_or_default();
        let ours = parse(include_str!("prelude.jq"));
        let replaced: Vec<_> = ours.iter().map(|def| (def.name, def.args.len())).collect();
        let standard = jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs())
            .filter(|def| !replaced.contains(&(def.name, def.args.len())));
        // `empty` is needed by our own loops, so it stands before them.
        let (empty, rest): (Vec<_>, Vec<_>) = standard.partition(|def| def.name == "empty");
        empty.into_iter().chain(ours).chain(rest).chain(parse(include_str!("extras.jq"))).collect()
    })
}

impl Machine {
    /// # Errors
    /// Where the program is wrong.
    pub(super) fn compile(program: &str) -> Result<Self, String> {
        with_stack(program, || {
            refuse_imports(program)?;
            if let Some(name) = reserved(program) {
                return Err(at(
                    program,
                    name,
                    &format!("`{name}` is kept for what counts a program's steps: choose another name"),
                ));
            }
            let filter = compile(program, program)?;
            let Some(counted) = count_recursion(program) else {
                return Ok(Self { filter, is_deep: false });
            };
            // Without the counting it could take the whole process with it.
            let filter = compile(&counted.program, program)
                .map_err(|error| format!("its functions cannot be counted: {error}"))?;
            Ok(Self { filter, is_deep: counted.is_deep })
        })
    }

    /// The results of the program, computed as they are asked for.
    pub(super) fn results<'a>(
        &'a self,
        data: Data<'a>,
        input: Val,
    ) -> impl Iterator<Item = Result<Val, String>> + 'a {
        let vars = [data.vars.meta.clone(), data.vars.run.clone(), Val::object(Object::default())];
        let ctx = Ctx::<Kind>::new(data, Vars::new(vars));
        self.filter.id.run((ctx, input)).map(|result| result.map_err(explain))
    }
}

fn explain(exception: Exn<'_, Val>) -> String {
    match exception.get_err() {
        Ok(error) => shorten(&match error.into_val() {
            Val::Text(text) => text.as_str().to_owned(),
            Val::Null => "null (null)".to_owned(),
            value => value.to_string(),
        }),
        Err(other) => match other.get_halt() {
            Ok(_) => "`halt` ends no run; use `error(\"…\")` or `empty`".to_owned(),
            Err(_) => "`break` without its `label`".to_owned(),
        },
    }
}

fn compile(program: &str, shown: &str) -> Result<Filter<Kind>, String> {
    let arena = Arena::default();
    let modules = Loader::new(definitions().iter().cloned())
        .load(&arena, File { code: program, path: () })
        .map_err(|errors| {
        let mut all = errors.into_iter().flat_map(|(_, error)| load_errors(shown, error));
        all.next().unwrap_or_else(|| "the program cannot be read".to_owned())
    })?;
    jaq_core::Compiler::default()
        .with_funs(natives())
        .with_global_vars(["$meta", "$run", "$ENV"])
        .compile(modules)
        .map_err(|errors| {
            let mut all = errors
                .into_iter()
                .flat_map(|(_, errors)| errors)
                .map(|(name, kind)| undefined(shown, name, kind));
            all.next().unwrap_or_else(|| "the program cannot be compiled".to_owned())
        })
}

fn load_errors(program: &str, error: load::Error<&str>) -> Vec<String> {
    match error {
        load::Error::Io(errors) => {
            errors.into_iter().map(|(path, _)| at(program, path, NO_MODULES)).collect()
        }
        load::Error::Lex(errors) => errors
            .into_iter()
            .map(|(expected, found)| at(program, found, &format!("expected a {}", expected.as_str())))
            .collect(),
        load::Error::Parse(errors) => errors
            .into_iter()
            .map(|(expected, found)| {
                let found_text = match found {
                    "" => "the end".to_owned(),
                    found => format!("`{}`", shorten(found)),
                };
                at(program, found, &format!("expected {}, found {found_text}", expected.as_str()))
            })
            .collect(),
    }
}

fn undefined(program: &str, name: &str, kind: jaq_core::compile::Undefined) -> String {
    use jaq_core::compile::Undefined;
    let known: Vec<&str> = match kind {
        Undefined::Var => vec!["$meta", "$run"],
        Undefined::Filter(_) => definitions().iter().map(|def| def.name).collect(),
        _ => Vec::new(),
    };
    let what = match kind {
        Undefined::Filter(arity) if known.contains(&name) => {
            return at(
                program,
                name,
                &format!("`{name}` does not take {arity} argument{}", if arity == 1 { "" } else { "s" }),
            );
        }
        Undefined::Filter(_) => "function",
        ref other => other.as_str(),
    };
    let hint = suggest::nearest(name, known)
        .filter(|nearest| !nearest.starts_with('_'))
        .map(|nearest| format!(", did you mean `{nearest}`?"))
        .unwrap_or_default();
    at(program, name, &format!("there is no {what} `{name}`{hint}"))
}

/// Puts line and column of `part` before the message.
fn at(program: &str, part: &str, message: &str) -> String {
    let range = program.as_bytes().as_ptr_range();
    let start = part.as_ptr();
    // A part of another text, as where the end is meant, has no place of its own.
    let offset = if range.contains(&start) { start as usize - range.start as usize } else { program.len() };
    let before = &program[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {message}")
}

/// Refuses modules and data files: the compiler would take the names of the latter as given.
fn refuse_imports(program: &str) -> Result<(), String> {
    let tokens = Lexer::new(program).lex().unwrap_or_default();
    for pair in tokens.windows(2) {
        if let [Token(word @ ("import" | "include"), Tok::Word), Token(_, Tok::Str(_))] = pair {
            return Err(at(program, word, NO_MODULES));
        }
    }
    Ok(())
}

/// The field names that a program follows, where it does nothing else.
pub(super) fn plain_path(program: &str) -> Option<Vec<String>> {
    match load::parse(program, |parser| parser.term())? {
        Term::Id => Some(Vec::new()),
        Term::Path(from, path::Path(parts)) if matches!(*from, Term::Id) => parts
            .iter()
            .map(|part| match part {
                (path::Part::Index(Term::Str(None, text)), path::Opt::Essential) => plain_text(text),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn plain_text(parts: &[StrPart<&str, Term<&str>>]) -> Option<String> {
    match parts {
        [] => Some(String::new()),
        [StrPart::Str(text)] => Some((*text).to_owned()),
        _ => None,
    }
}

/// The path `a.b` and the program `REST` of `.a.b[] | REST`, where the program has this form.
pub(super) fn leading_elements(program: &str) -> Option<(Vec<String>, String)> {
    // The first term must reach from the start to the first `|`: then what is cut off it is a program.
    let first = match load::parse(program, |parser| parser.term())? {
        Term::BinOp(left, BinaryOp::Pipe(None), _) => *left,
        whole => whole,
    };
    let Term::Path(from, path::Path(parts)) = first else { return None };
    if !matches!(*from, Term::Id) {
        return None;
    }
    let mut names = Vec::new();
    let mut parts = parts.iter();
    loop {
        match parts.next()? {
            (path::Part::Index(Term::Str(None, text)), path::Opt::Essential) => names.push(plain_text(text)?),
            (path::Part::Range(None, None), path::Opt::Essential) => break,
            _ => return None,
        }
    }
    let rest = after_names(program.trim_start(), &names)?.trim_start();
    let rest = match rest.chars().next() {
        None => ".".to_owned(),
        Some('|') => rest[1..].to_owned(),
        Some('.') => rest.to_owned(),
        Some('[') => format!(".{rest}"),
        _ => return None,
    };
    Some((names, rest))
}

/// What follows `.a.b[]` in its usual spelling; `None` for any other spelling of the same.
fn after_names<'a>(program: &'a str, names: &[String]) -> Option<&'a str> {
    let mut rest = program;
    for name in names {
        rest = rest.strip_prefix('.')?;
        rest = match rest.strip_prefix(name.as_str()) {
            Some(rest) if !name.is_empty() => rest,
            _ => rest.strip_prefix('"')?.strip_prefix(name.as_str())?.strip_prefix('"')?,
        };
    }
    let rest = if names.is_empty() { rest.strip_prefix('.')? } else { rest };
    rest.strip_prefix("[]")
}
