//! Perl-compatible expressions, as far as the linear engine's own syntax agrees with Perl's.

use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::Hir;
use regex_syntax::hir::translate::TranslatorBuilder;

/// Parses an expression; `None` for what the engine cannot do, does not know, or would read otherwise than Perl does.
pub(super) fn parse(text: &str, ignore_case: bool) -> Option<Hir> {
    let tree = ast::parse::ParserBuilder::new().nest_limit(200).build().parse(text).ok()?;
    ast::visit(&tree, Agreement).ok()?;
    let mut translator =
        TranslatorBuilder::new().unicode(false).utf8(false).case_insensitive(ignore_case).build();
    translator.translate(text, &tree).ok()
}

/// Finds what the two syntaxes read differently.
struct Agreement;

/// They differ.
struct Differs;

impl ast::Visitor for Agreement {
    type Output = ();
    type Err = Differs;

    fn finish(self) -> Result<(), Differs> {
        Ok(())
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), Differs> {
        use ast::AssertionKind::{
            WordBoundaryEnd, WordBoundaryEndAngle, WordBoundaryEndHalf, WordBoundaryStart,
            WordBoundaryStartAngle, WordBoundaryStartHalf,
        };
        let differs = match tree {
            // A possessive quantifier.
            Ast::Repetition(outer) => {
                matches!(&*outer.ast, Ast::Repetition(_))
                    && matches!(outer.op.kind, ast::RepetitionKind::OneOrMore)
            }
            // `\<` is a character, `\b{start}` has a brace in it.
            Ast::Assertion(assertion) => matches!(
                assertion.kind,
                WordBoundaryStart
                    | WordBoundaryEnd
                    | WordBoundaryStartAngle
                    | WordBoundaryEndAngle
                    | WordBoundaryStartHalf
                    | WordBoundaryEndHalf
            ),
            Ast::Flags(set) => has_other_flags(&set.flags),
            Ast::Group(group) => {
                matches!(&group.kind, ast::GroupKind::NonCapturing(flags) if has_other_flags(flags))
            }
            _ => false,
        };
        if differs { Err(Differs) } else { Ok(()) }
    }

    /// Doubled characters in a set are just that.
    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), Differs> {
        Err(Differs)
    }

    /// So is a bracket.
    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), Differs> {
        if matches!(item, ast::ClassSetItem::Bracketed(_)) { Err(Differs) } else { Ok(()) }
    }
}

/// `(?R)` is a recursion, `(?u)` nothing at all.
fn has_other_flags(flags: &ast::Flags) -> bool {
    flags.items.iter().any(|item| {
        matches!(
            item.kind,
            ast::FlagsItemKind::Flag(ast::Flag::CRLF | ast::Flag::Unicode | ast::Flag::SwapGreed)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perl_reads_otherwise_is_left_to_perl() {
        for text in [
            r"a(?=b)",
            r"(a)\1",
            r"a++b",
            r"a*+b",
            r"[a&&b]",
            r"[a[b]]",
            r"(?>a)",
            r"a(",
            r"\<a",
            r"\b{start}a",
            r"(?R)",
            r"(?u:a)",
            r"(?U)a+",
        ] {
            assert!(parse(text, false).is_none(), "{text}");
        }
        for text in [r"^/v\d+/(?<id>\w+?)/", r"(?i)a", r"[[:alpha:]]+", r"(?:a|b)*?", r"(?s-i:.)", r"\bx\B"] {
            assert!(parse(text, false).is_some(), "{text}");
        }
    }
}
