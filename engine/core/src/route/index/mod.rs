//! Which services may take a request: found by looking up what all of them ask, not by asking each.
//!
//! A service whose condition cannot hold unless some fact is true is no candidate for a request of which that fact is
//! not true. Facts about one part of the request are looked up together: texts that it must equal, begin with or end
//! with or hold in tables ([`literals`]), regular expressions by one automaton ([`patterns`]). Each service counts on a few of
//! its facts, each in a column of its own; the candidates are the services that are in all columns ([`sets`]), whether
//! because their fact is true or because they have none there. Candidates are then asked in order, in full: the index
//! only leaves out what cannot match, and so decides nothing.
//!
//! What this costs grows with the facts that are true of the request, and by a bit for each service.

mod literals;
mod needs;
mod patterns;
#[cfg(test)]
mod property;
mod sets;

use super::expand::split_port;
use super::lines;
use super::pattern::percent_decoded;
use super::plan::ServiceIx;
use super::request::Request;
use super::shape::{Necessary, Text};
use literals::Literals;
use needs::{Facts, Need, Subject, View};
use ounce_conf::model::{Condition, NamedCondition};
use patterns::{Memory, Patterns};
use regex_automata::util::pool::Pool;
use sets::{COLUMNS_MAX, Set};
use std::collections::{HashMap, HashSet};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Fewer services that could be looked up are asked one by one.
const SERVICES_MIN: usize = 8;

/// Services in the order in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Services {
    list: Vec<ServiceIx>,
    index: Option<Index>,
}

impl Services {
    pub(crate) fn new(services: &[(ServiceIx, &Condition)], named: &[NamedCondition]) -> Services {
        let conditions: Vec<&Condition> = services.iter().map(|(_, condition)| *condition).collect();
        let list = services.iter().map(|(ix, _)| *ix).collect();
        Services { list, index: Index::build(&conditions, named) }
    }

    /// The services in order.
    pub(crate) fn list(&self) -> &[ServiceIx] {
        &self.list
    }

    /// The first that takes the request; `takes` is asked of those in order that may.
    pub(crate) fn first(
        &self,
        request: &Request<'_>,
        mut takes: impl FnMut(ServiceIx) -> bool,
    ) -> Option<ServiceIx> {
        match &self.index {
            None => self.list.iter().copied().find(|&ix| takes(ix)),
            Some(index) => {
                let position = index.first(request, |position| takes(self.list[position]))?;
                Some(self.list[position])
            }
        }
    }
}

type MakeScratch = Box<dyn Fn() -> Scratch + Send + Sync + UnwindSafe + RefUnwindSafe>;

struct Index {
    tables: Vec<Table>,
    /// By fact: in which columns it makes which services candidates.
    services: Vec<Vec<(usize, Set)>>,
    /// The columns before anything is looked up: services that have no fact there.
    columns: Vec<u64>,
    /// Words of a column.
    words: usize,
    /// Memory of searches, one for each thread that searches at a time.
    scratch: Pool<Scratch, MakeScratch>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Index").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// Facts about one part of requests.
#[derive(Debug)]
struct Table {
    view: View,
    literals: Literals,
    /// In lower case, for subjects in lower case.
    folded: Literals,
    patterns: Vec<Patterns>,
}

/// What a search works in.
struct Scratch {
    columns: Vec<u64>,
    lower: Vec<u8>,
    /// Of each automaton of each table.
    memory: Vec<Memory>,
}

impl Index {
    /// Builds the index over conditions in matching order, unless it would not help.
    fn build(conditions: &[&Condition], named: &[NamedCondition]) -> Option<Index> {
        if conditions.len() < SERVICES_MIN {
            return None;
        }
        let mut facts = Facts::new(named);
        let mut needs: Vec<Vec<Need>> = conditions.iter().map(|condition| facts.of(condition)).collect();
        choose(&mut needs, &facts);
        let (tables, unknown) = tables(&facts, &needs);
        let known = |need: &Need| !need.iter().any(|fact| unknown.contains(fact));
        needs.iter_mut().for_each(|needs| needs.retain(known));
        if needs.iter().filter(|needs| !needs.is_empty()).count() < SERVICES_MIN {
            return None;
        }
        let words = conditions.len().div_ceil(64);
        let count = needs.iter().map(Vec::len).max().unwrap_or(0);
        let mut columns = vec![0; count * words];
        let mut positions: HashMap<(u32, usize), Vec<u32>> = HashMap::new();
        for (position, needs) in (0..).zip(&needs) {
            for (column, bits) in columns.chunks_exact_mut(words).enumerate() {
                match needs.get(column) {
                    None => sets::insert(bits, position),
                    Some(need) => {
                        need.iter()
                            .for_each(|&fact| positions.entry((fact, column)).or_default().push(position));
                    }
                }
            }
        }
        let mut services: Vec<Vec<(usize, Set)>> = facts.list.iter().map(|_| Vec::new()).collect();
        for ((fact, column), positions) in positions {
            services[fact as usize].push((column, Set::new(&positions, words)));
        }
        let scratch = Pool::new(scratch_of(&tables, columns.len()));
        Some(Index { tables, services, columns, words, scratch })
    }

    /// The first candidate that is `wanted`.
    fn first(&self, request: &Request<'_>, wanted: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut scratch = self.scratch.get();
        let Scratch { columns, lower, memory } = &mut *scratch;
        columns.copy_from_slice(&self.columns);
        let mut hit = |fact: u32| {
            for (column, services) in &self.services[fact as usize] {
                services.add_to(&mut columns[column * self.words..][..self.words]);
            }
        };
        let mut memory = memory.as_mut_slice();
        for table in &self.tables {
            let (own, others) = memory.split_at_mut(table.patterns.len());
            memory = others;
            table.each(request, lower, own, &mut hit);
        }
        sets::first_common(columns, self.words, wanted)
    }
}

fn scratch_of(tables: &[Table], columns: usize) -> MakeScratch {
    let patterns: Vec<Patterns> = tables.iter().flat_map(|table| table.patterns.iter().cloned()).collect();
    Box::new(move || Scratch {
        columns: vec![0; columns],
        lower: Vec::new(),
        memory: patterns.iter().map(Patterns::memory).collect(),
    })
}

/// Tables of all facts that somebody needs, and the facts that no table could take.
fn tables(facts: &Facts, needs: &[Vec<Need>]) -> (Vec<Table>, Vec<u32>) {
    let needed: HashSet<u32> = needs.iter().flatten().flatten().copied().collect();
    let mut places: HashMap<&View, usize> = HashMap::new();
    let mut tables: Vec<(Table, Vec<(u32, regex_syntax::hir::Hir)>)> = Vec::new();
    for (number, fact) in (0..).zip(&facts.list).filter(|(number, _)| needed.contains(number)) {
        let place = *places.entry(&fact.view).or_insert_with(|| {
            tables.push((Table::new(&fact.view), Vec::new()));
            tables.len() - 1
        });
        let (table, expressions) = &mut tables[place];
        match &fact.test {
            Necessary::Exact(text) => table.add(text, number, Literals::add_exact),
            Necessary::Prefix(text) => table.add(text, number, Literals::add_prefix),
            Necessary::Suffix(text) => table.add(text, number, Literals::add_suffix),
            Necessary::Contain(text) => table.add(text, number, Literals::add_within),
            Necessary::Expression(hir) => expressions.push((number, hir.clone())),
        }
    }
    let mut unknown = Vec::new();
    let tables = tables.into_iter().map(|(mut table, expressions)| {
        unknown.extend(table.literals.arrange());
        unknown.extend(table.folded.arrange());
        let (patterns, left_out) = Patterns::build(&expressions);
        table.patterns = patterns;
        unknown.extend(left_out);
        table
    });
    (tables.collect(), unknown)
}

/// Services that a fact may be shared by and still tell one from most others.
const FEW: usize = 4;

/// Leaves each service the needs that tell it from most others, and of these such as cost little to look up.
fn choose(needs: &mut [Vec<Need>], facts: &Facts) {
    let mut uses = vec![0_usize; facts.list.len()];
    for fact in needs.iter().flatten().flatten() {
        uses[*fact as usize] += 1;
    }
    let services = needs.len();
    let cost = |fact: &u32| match &facts.list[*fact as usize].test {
        Necessary::Exact(_) | Necessary::Prefix(_) | Necessary::Suffix(_) => 0,
        Necessary::Contain(_) => 1,
        Necessary::Expression(_) => 2,
    };
    for needs in needs {
        let spread = |need: &Need| need.iter().map(|&fact| uses[fact as usize]).max().unwrap_or(0);
        let rank = |need: &Need| (spread(need).max(FEW), need.iter().map(cost).max().unwrap_or(0));
        needs.retain(|need| spread(need) * 2 <= services);
        needs.sort_by_key(rank);
        let enough = if needs.first().is_some_and(|need| spread(need) <= FEW) { 1 } else { COLUMNS_MAX };
        needs.truncate(enough);
    }
}

impl Table {
    fn new(view: &View) -> Table {
        Table {
            view: view.clone(),
            literals: Literals::default(),
            folded: Literals::default(),
            patterns: Vec::new(),
        }
    }

    fn add(&mut self, text: &Text, number: u32, add: fn(&mut Literals, &[u8], u32)) {
        if text.ignore_case {
            add(&mut self.folded, &text.bytes.to_ascii_lowercase(), number);
        } else {
            add(&mut self.literals, &text.bytes, number);
        }
    }

    /// Tells the facts that are true of a request; some more perhaps.
    fn each(
        &self,
        request: &Request<'_>,
        lower: &mut Vec<u8>,
        memory: &mut [Memory],
        hit: &mut dyn FnMut(u32),
    ) {
        let mut look_up = |subject: &[u8]| self.look_up(subject, lower, memory, hit);
        match &self.view.subject {
            Subject::HostName => {
                if let Some(host) = request.host() {
                    let name = split_port(host).0;
                    lower.clear();
                    lower.extend(name.iter().map(u8::to_ascii_lowercase));
                    self.literals.each(lower, hit);
                }
            }
            Subject::Host => request.host().into_iter().for_each(look_up),
            Subject::Url => look_up(request.target()),
            Subject::Path => look_up(request.path()),
            Subject::Query => request.query().into_iter().for_each(look_up),
            Subject::Parameter(name) => request.parameter(name).into_iter().for_each(look_up),
            Subject::Method => look_up(request.method()),
            Subject::Header(name) => {
                let (bytes, fields) = request.message();
                let named = fields.iter().filter(|field| field.name.of(bytes).eq_ignore_ascii_case(name));
                named.for_each(|field| look_up(field.value.of(bytes)));
            }
            Subject::Lines => match lines::block(request) {
                Some(block) => look_up(block),
                None => lines::each(request).for_each(look_up),
            },
        }
    }

    fn look_up(&self, subject: &[u8], lower: &mut Vec<u8>, memory: &mut [Memory], hit: &mut dyn FnMut(u32)) {
        let decoded;
        let subject = if self.view.decode {
            decoded = percent_decoded(subject);
            &*decoded
        } else {
            subject
        };
        self.literals.each(subject, hit);
        if !self.folded.is_empty() {
            lower.clear();
            lower.extend(subject.iter().map(u8::to_ascii_lowercase));
            self.folded.each(lower, hit);
        }
        for (patterns, memory) in self.patterns.iter().zip(memory) {
            patterns.each(subject, memory, hit);
        }
    }
}
