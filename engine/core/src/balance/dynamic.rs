//! Tests of backends whose addresses are looked up: which of them are candidates, of which group, with which weight.

use super::pick::Tried;
use super::sample::Fleet;
use crate::balance::connect_failed;
use crate::route::plan::BackendIx;
use crate::route::sample::{redirect, server};
use ounce_conf::model::{
    Address, Backend, BackendKind, Balancer, DynamicName, Families, ResolveMode, SessionKind,
};
use ounce_mem::{BackendId, Share};
use std::collections::BTreeMap;

/// A backend for a name.
fn name(mode: ResolveMode) -> Backend {
    let mut backend = server("10.0.0.1:80", 5);
    if let BackendKind::Server(server) = &mut backend.kind {
        server.address = Address::Name(Box::new(DynamicName {
            host: "a.example".to_owned(),
            port: 80,
            mode,
            family: Families::Any,
            retry: None,
            override_ttl: None,
            ignore_weight: false,
        }));
    }
    backend
}

/// Puts addresses with these shares into the places of the name at `ix`, from the first on.
fn settle(fleet: &Fleet, ix: u32, shares: &[(u16, u16)]) {
    let places = fleet.segment.places();
    let id = |number: u32| fleet.id(ix + 1 + number);
    for (number, &(weight, group)) in (0..).zip(shares) {
        let address = format!("192.0.2.{number}:80").parse().expect("an address");
        places.settle(id(number), address, Share { weight, group });
    }
    places.open(fleet.id(ix), (1 << shares.len()) - 1, 1, id);
}

fn shares(expected: &[(u32, u32)]) -> BTreeMap<u32, u32> {
    expected.iter().copied().collect()
}

#[test]
fn a_name_has_places_that_are_no_candidates_before_they_have_addresses() {
    for balancer in [Balancer::Iwrr, Balancer::Random] {
        let backends = vec![name(ResolveMode::All), server("10.0.0.9:80", 5), name(ResolveMode::First)];
        let fleet = Fleet::new(balancer, backends, Vec::new());
        assert_eq!(fleet.plan.backends.len(), 1 + 32 + 1 + 1 + 2);
        assert!((0..20).all(|random| fleet.pick_with(&Tried::new(), random) == Some(BackendIx(33))));
    }
    let fleet =
        Fleet::new(Balancer::Iwrr, vec![name(ResolveMode::All)], vec![redirect("http://sorry.example")]);
    assert_eq!(fleet.pick(), Some(BackendIx(33)), "an emergency");
    settle(&fleet, 0, &[(0, 0)]);
    assert_eq!(fleet.pick(), Some(BackendIx(1)));
}

#[test]
fn shares_are_exact_over_the_addresses_and_their_neighbours() {
    let fleet =
        Fleet::new(Balancer::Iwrr, vec![name(ResolveMode::All), server("10.0.0.9:80", 10)], Vec::new());
    settle(&fleet, 0, &[(0, 0), (0, 0), (0, 0)]);
    assert_eq!(fleet.shares(250, 3), shares(&[(1, 50), (2, 50), (3, 50), (33, 100)]));
    let fleet = Fleet::new(Balancer::Iwrr, vec![name(ResolveMode::Srv)], Vec::new());
    settle(&fleet, 0, &[(7, 3), (1, 3), (2, 3)]);
    assert_eq!(fleet.shares(100, 3), shares(&[(1, 70), (2, 10), (3, 20)]));
}

/// The lowest group in which somebody is active; those of the file are of group 0.
#[test]
fn a_group_answers_only_while_none_of_a_lower_one_can() {
    let emergency = vec![redirect("http://sorry.example")];
    let backends = vec![name(ResolveMode::Srv), server("10.0.0.9:80", 5)];
    let fleet = Fleet::new(Balancer::Iwrr, backends, emergency);
    settle(&fleet, 0, &[(1, 20), (1, 10), (1, 20), (1, 65534)]);
    let chosen = || fleet.shares(4, 1).into_keys().collect::<Vec<u32>>();
    for (expected, dies) in
        [(&[33][..], &[33][..]), (&[2], &[2]), (&[1, 3], &[1, 3]), (&[4], &[4]), (&[34], &[])]
    {
        assert_eq!(chosen(), expected);
        for &ix in dies {
            assert!(connect_failed(&fleet.plan, &fleet.segment, BackendIx(ix), None, 1));
        }
    }
    assert!(fleet.segment.backends().revive(fleet.id(3), 2));
    assert_eq!(chosen(), [3]);
}

#[test]
fn who_switches_a_name_off_switches_off_its_addresses() {
    let fleet = Fleet::new(Balancer::Iwrr, vec![name(ResolveMode::All)], Vec::new());
    settle(&fleet, 0, &[(0, 0), (0, 0)]);
    fleet.segment.backends().set_disabled(fleet.id(0), true);
    assert_eq!(fleet.pick(), None);
    fleet.segment.backends().set_disabled(fleet.id(0), false);
    fleet.segment.backends().set_disabled(fleet.id(1), true);
    assert_eq!(fleet.shares(4, 1), shares(&[(2, 4)]));
}

#[test]
fn a_failure_of_the_former_address_says_nothing_of_the_present_one() {
    let fleet = Fleet::new(Balancer::Iwrr, vec![name(ResolveMode::First)], Vec::new());
    settle(&fleet, 0, &[(0, 0)]);
    let era = |fleet: &Fleet| fleet.segment.places().at(fleet.id(1)).expect("an address").era;
    let former = era(&fleet);
    settle(&fleet, 0, &[(0, 0)]);
    assert!(!connect_failed(&fleet.plan, &fleet.segment, BackendIx(1), Some(former), 1));
    assert_eq!(fleet.pick(), Some(BackendIx(1)));
    assert!(connect_failed(&fleet.plan, &fleet.segment, BackendIx(1), Some(era(&fleet)), 1));
    assert_eq!(fleet.pick(), None);
}

/// Also one that was made after its address had gone, by a worker that had chosen before.
#[test]
fn sessions_with_an_address_that_is_gone_are_made_anew() {
    let fleet = Fleet::sticky(SessionKind::Ip, vec![name(ResolveMode::All)]);
    settle(&fleet, 0, &[(0, 0), (0, 0)]);
    let none = Tried::new();
    let mine = fleet.pick_for(b"alice", 0, &none).expect("a backend");
    assert_eq!(fleet.pick_for(b"alice", 1, &none), Some(mine));
    let other = 3 - mine;
    let open =
        || fleet.segment.places().open(fleet.id(0), 1 << (other - 1), 1, |number| fleet.id(1 + number));
    open();
    assert_eq!(fleet.pick_for(b"alice", 2, &none), Some(other));
    let service = ounce_mem::ServiceId(fleet.service().row);
    let gone: BackendId = fleet.id(mine);
    assert_eq!(fleet.segment.sessions().insert(service, b"bob", gone, 2, 60_000, fleet.owner), gone);
    assert_eq!(fleet.pick_for(b"bob", 3, &none), Some(other));
}
