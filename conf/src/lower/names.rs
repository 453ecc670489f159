//! Host names and what they stand for: asked of the system, or known from an earlier reading.

use crate::{Names, Options};
use std::net::{IpAddr, ToSocketAddrs};

/// The names of one reading. Each is looked up once, so that all its uses mean the same.
pub(super) struct Resolver<'a> {
    options: &'a Options,
    found: Names,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(options: &'a Options) -> Resolver<'a> {
        Resolver { options, found: Names::new() }
    }

    /// All addresses of a name in the system's order.
    pub(super) fn look_up(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        if let Some(found) = self.found.get(name) {
            return Ok(found.clone());
        }
        let addresses = match &self.options.known_names {
            Some(known) => known.get(name).cloned().ok_or("it was not found a moment ago")?,
            None if !self.options.resolve_dns => return Err("names are not looked up (-W no-dns)".to_owned()),
            None => ask(name)?,
        };
        self.found.insert(name.to_owned(), addresses.clone());
        Ok(addresses)
    }

    /// Every name that was found, with its addresses.
    pub(super) fn into_names(self) -> Names {
        self.found
    }
}

fn ask(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = (name, 0).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        let prefix = "failed to lookup address information: ";
        text.strip_prefix(prefix).unwrap_or(&text).to_owned()
    })?;
    Ok(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Options {
        let address = IpAddr::from([192, 0, 2, 1]);
        Options { known_names: Some(Names::from([(name.into(), vec![address])])), ..Options::default() }
    }

    #[test]
    fn a_known_name_is_not_looked_up_and_an_unknown_one_is_not_asked_for() {
        let options = known("example.invalid");
        let mut resolver = Resolver::new(&options);
        assert_eq!(resolver.look_up("example.invalid").unwrap().len(), 1);
        assert!(resolver.look_up("localhost").is_err());
        assert_eq!(resolver.into_names().len(), 1);
    }

    #[test]
    fn the_names_of_one_reading_are_all_that_the_next_one_needs() {
        let text = |host: &str| {
            format!(
                "ListenHTTP\nAddress 127.0.0.1\nPort 1\nService\nBackEnd\nAddress {host}\nPort 2\nEnd\nEnd\nEnd\n"
            )
        };
        let first = crate::load_text("t", &text("example.invalid"), &known("example.invalid")).unwrap();
        assert_eq!(first.names.len(), 1);
        let again = Options { known_names: Some(first.names), ..Options::default() };
        crate::load_text("t", &text("example.invalid"), &again).unwrap();
        crate::load_text("t", &text("other.invalid"), &again).unwrap_err();
    }
}
