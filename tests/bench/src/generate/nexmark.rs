//! Events of Nexmark after the published rules: of fifty one is a person, three are auctions, the others bids; half of the
//! bids go to the hottest auction, three quarters come from the hottest bidder, three quarters of the auctions from the
//! hottest seller. An event is a line of JSON with its time and one of `person`, `auction` and `bid`.

use std::fmt::Write as _;

use super::{Chance, START};
use crate::moments::write_moment;

const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
const OF: u64 = 50;
const FIRST_PERSON: u64 = 1000;
const FIRST_AUCTION: u64 = 1000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// Persons that are still active, and auctions that are still open.
const ACTIVE: u64 = 1000;
const OPEN: u64 = 100;
/// One of so many is no hot one.
const HOT_AUCTION: u64 = 2;
const HOT_SELLER: u64 = 4;
const HOT_BIDDER: u64 = 4;
const HOT_CHANNEL: u64 = 2;
/// A hot one stays hot for so many.
const HOT_FOR: u64 = 100;
/// Channels that are not hot.
const CHANNELS: u64 = 10_000;
/// How many bytes an event of each kind has in the mean.
const PERSON_BYTES: usize = 200;
const AUCTION_BYTES: usize = 500;
const BID_BYTES: usize = 100;
/// Events a second.
const RATE: u64 = 10_000;
/// Keys of the table that q13 looks up.
const SIDE_KEYS: u64 = 10_000;

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// The events of a file, a line each.
pub fn events(number: usize, lines: usize) -> String {
    let mut chance = Chance::of(number);
    let mut text = String::with_capacity(lines * 300);
    let first = number as u64 * lines as u64;
    for id in first..first + lines as u64 {
        text.push_str("{\"date_time\":\"");
        let ts = START + time_of(id);
        write_moment(&mut text, ts);
        text.push_str("\",");
        match id % OF {
            0 => person(&mut text, id, &mut chance),
            1..=AUCTIONS => auction(&mut text, id, ts, &mut chance),
            _ => bid(&mut text, id, &mut chance),
        }
        text.push_str("}}\n");
    }
    text
}

/// What q13 looks up: a value for each key.
pub fn side_input() -> String {
    (0..SIDE_KEYS).fold(String::from("key,value\n"), |mut text, key| {
        put(&mut text, format_args!("{key},value-{key}\n"));
        text
    })
}

/// Microseconds behind the start; whole milliseconds, as everywhere in Nexmark.
fn time_of(event: u64) -> i64 {
    i64::try_from(event * 1000 / RATE * 1000).unwrap_or_default()
}

/// The number of the newest person at an event, from 0.
fn newest_person(event: u64) -> u64 {
    event / OF * PERSONS
}

/// The number of the newest auction at an event, from 0; none before the first one.
fn newest_auction(event: u64) -> Option<u64> {
    let (epoch, offset) = (event / OF, event % OF);
    let of_epoch = offset.min(AUCTIONS);
    (epoch * AUCTIONS + of_epoch).checked_sub(1)
}

/// A person that is active, or is about to be.
fn some_person(event: u64, chance: &mut Chance) -> u64 {
    let newest = newest_person(event);
    let active = (newest + 1).min(ACTIVE);
    newest + 1 - active + chance.below(active)
}

/// An auction that is open, or is about to be.
fn some_auction(event: u64, chance: &mut Chance) -> u64 {
    let newest = newest_auction(event).unwrap_or(0);
    let oldest = (newest + 1).saturating_sub(OPEN);
    oldest + chance.below(newest + 1 - oldest)
}

fn person(text: &mut String, event: u64, chance: &mut Chance) {
    let (id, first, last) = (FIRST_PERSON + newest_person(event), of(&FIRST_NAMES, chance), of(&LAST_NAMES, chance));
    put(text, format_args!("\"person\":{{\"id\":{id},\"name\":\"{first} {last}\",\"email_address\":\""));
    letters(text, 7, chance);
    text.push('@');
    letters(text, 5, chance);
    let card: [u64; 4] = std::array::from_fn(|_| chance.below(10_000));
    let [a, b, c, d] = card;
    let (city, state) = (of(&CITIES, chance), of(&STATES, chance));
    put(text, format_args!(".com\",\"credit_card\":\"{a:04} {b:04} {c:04} {d:04}\",\"city\":\"{city}\","));
    put(text, format_args!("\"state\":\"{state}\",\"extra\":\""));
    extra(text, PERSON_BYTES, 95, chance);
    text.push('"');
}

fn auction(text: &mut String, event: u64, ts: i64, chance: &mut Chance) {
    let id = FIRST_AUCTION + newest_auction(event).unwrap_or(0);
    put(text, format_args!("\"auction\":{{\"id\":{id},\"item_name\":\""));
    letters(text, 20, chance);
    text.push_str("\",\"description\":\"");
    letters(text, 100, chance);
    let initial = price(chance);
    let reserve = initial + price(chance);
    put(text, format_args!("\",\"initial_bid\":{initial},\"reserve\":{reserve},\"expires\":\""));
    write_moment(text, ts + length(event, ts, chance));
    let hot = newest_person(event) / HOT_FOR * HOT_FOR;
    let seller = if chance.below(HOT_SELLER) > 0 { hot } else { some_person(event, chance) };
    let category = FIRST_CATEGORY + chance.below(CATEGORIES);
    put(text, format_args!("\",\"seller\":{},\"category\":{category},\"extra\":\"", FIRST_PERSON + seller));
    extra(text, AUCTION_BYTES, 230, chance);
    text.push('"');
}

/// How long an auction is open: about as long as it takes until so many more have begun.
fn length(event: u64, ts: i64, chance: &mut Chance) -> i64 {
    let later = event + OPEN * OF / AUCTIONS;
    let horizon = (START + time_of(later) - ts) / 1000;
    let doubled = u64::try_from(horizon * 2).unwrap_or_default().max(1);
    (1 + i64::try_from(chance.below(doubled)).unwrap_or_default()) * 1000
}

fn bid(text: &mut String, event: u64, chance: &mut Chance) {
    let hot = newest_auction(event).unwrap_or(0) / HOT_FOR * HOT_FOR;
    let auction = if chance.below(HOT_AUCTION) > 0 { hot } else { some_auction(event, chance) };
    let hot = newest_person(event) / HOT_FOR * HOT_FOR + 1;
    let bidder = if chance.below(HOT_BIDDER) > 0 { hot } else { some_person(event, chance) };
    let (auction, bidder, price) = (FIRST_AUCTION + auction, FIRST_PERSON + bidder, price(chance));
    put(text, format_args!("\"bid\":{{\"auction\":{auction},\"bidder\":{bidder},\"price\":{price},\"channel\":\""));
    if chance.below(HOT_CHANNEL) > 0 {
        text.push_str(of(&HOT_CHANNELS, chance));
        text.push_str("\",\"url\":\"");
        url(text, chance);
    } else {
        let channel = chance.below(CHANNELS);
        put(text, format_args!("channel-{channel}\",\"url\":\""));
        url(text, chance);
        // Nine of ten tell which channel they are.
        if chance.below(10) > 0 {
            put(text, format_args!("&channel_id={}", channel.wrapping_mul(2_654_435_761) % (1 << 31)));
        }
    }
    text.push_str("\",\"extra\":\"");
    extra(text, BID_BYTES, 32, chance);
    text.push('"');
}

fn url(text: &mut String, chance: &mut Chance) {
    text.push_str("https://www.nexmark.com/");
    letters(text, 5, chance);
    text.push('/');
    letters(text, 5, chance);
    text.push('/');
    letters(text, 5, chance);
    text.push_str("/item.htm?query=1");
}

/// From a dollar to a million, in cents, the higher the rarer.
fn price(chance: &mut Chance) -> u64 {
    (10.0_f64.powf(chance.fraction() * 6.0) * 100.0).round() as u64
}

fn of<'a>(names: &[&'a str], chance: &mut Chance) -> &'a str {
    names[usize::try_from(chance.below(names.len() as u64)).unwrap_or(0)]
}

/// Fills an event up to about so many bytes.
fn extra(text: &mut String, bytes: usize, used: usize, chance: &mut Chance) {
    let wanted = bytes.saturating_sub(used);
    // A fifth more or less.
    let less = wanted - wanted / 5;
    letters(text, less + usize::try_from(chance.below(wanted as u64 / 5 * 2 + 1)).unwrap_or(0), chance);
}

fn letters(text: &mut String, count: usize, chance: &mut Chance) {
    text.extend((0..count).map(|_| char::from(b'a' + (chance.below(26) as u8))));
}

/// Writing to a string cannot fail.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn events_are_of_the_three_kinds_and_keys_of_those_that_are_there() {
        let text = events(0, 5_000);
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |kind: &str| events.iter().filter(|event| event[kind].is_object()).count();
        assert_eq!((count("person"), count("auction"), count("bid")), (100, 300, 4_600));
        let (mut persons, mut auctions, mut hot) = (0, 0, 0);
        for event in &events {
            if let Some(person) = event["person"]["id"].as_u64() {
                assert_eq!(person, FIRST_PERSON + persons);
                persons += 1;
            }
            if let Some(auction) = event["auction"]["id"].as_u64() {
                assert_eq!(auction, FIRST_AUCTION + auctions);
                auctions += 1;
                assert!(event["auction"]["expires"].as_str() > event["date_time"].as_str());
            }
            if let Some(auction) = event["bid"]["auction"].as_u64() {
                assert!(auction < FIRST_AUCTION + auctions, "a bid for an auction that has not begun");
                hot += u64::from(auction % HOT_FOR == FIRST_AUCTION % HOT_FOR);
            }
        }
        assert!((2_200..2_700).contains(&hot), "{hot} bids of 4,600 for hot auctions");
    }
}
