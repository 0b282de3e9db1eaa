//! Times as people write and read them: RFC 3339 in UTC, and `2h` for "since two hours".

use std::time::{SystemTime, UNIX_EPOCH};

const MICROSECONDS: u64 = 1_000_000;
const DAY_SECONDS: u64 = 86_400;

/// Microseconds since 1970, now.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// `2026-11-21T10:21:49.123456Z`.
pub(super) fn rfc3339(time_us: u64) -> String {
    let seconds = time_us / MICROSECONDS;
    let (year, month, day) = civil(seconds / DAY_SECONDS);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let fraction = time_us % MICROSECONDS;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// Reads `90s`, `30m`, `2h`, `7d` (ago), `2026-11-21` or `2026-11-21T10:00:00Z` as microseconds since 1970.
pub(super) fn since(text: &str, now_us: u64) -> Result<u64, String> {
    let wrong = || {
        format!("'{text}' is no time; write 30m, 2h or 7d (ago), 2026-11-21, or 2026-11-21T10:00:00Z (UTC)")
    };
    if let Some((unit, digits)) = text.as_bytes().split_last()
        && let Some(seconds) = match unit {
            b's' => Some(1),
            b'm' => Some(60),
            b'h' => Some(3600),
            b'd' => Some(DAY_SECONDS),
            _ => None,
        }
    {
        let count = number(digits).ok_or_else(wrong)?;
        let ago = count.checked_mul(seconds * MICROSECONDS).ok_or_else(wrong)?;
        return Ok(now_us.saturating_sub(ago));
    }
    absolute(text.as_bytes()).ok_or_else(wrong)
}

fn absolute(text: &[u8]) -> Option<u64> {
    let (date, time) = match text.len() {
        10 => (text, b"00:00:00".as_slice()),
        20 if text[10] == b'T' && text[19] == b'Z' => (&text[..10], &text[11..19]),
        _ => return None,
    };
    let separated = date[4] == b'-' && date[7] == b'-' && time[2] == b':' && time[5] == b':';
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let (hour, minute, second) = (number(&time[..2])?, number(&time[3..5])?, number(&time[6..])?);
    let days = days(year, month, day)?;
    (separated && hour < 24 && minute < 60 && second < 60)
        .then(|| (days * DAY_SECONDS + hour * 3600 + minute * 60 + second) * MICROSECONDS)
}

fn number(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; `None` for one that does not exist.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // Years that start in March put the leap day last (Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = era * 146_097 + of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2001-09-09T01:46:40Z", 1_000_000_000),
            ("2026-11-21T10:21:49Z", 1_795_256_509),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(since(text, 0), Ok(seconds * MICROSECONDS), "{text}");
            assert_eq!(rfc3339(seconds * MICROSECONDS), text.replace('Z', ".000000Z"));
        }
        assert_eq!(since("2000-03-01", 0), Ok(951_868_800 * MICROSECONDS));
        for day in 0..60_000 {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), Some(day));
        }
    }

    #[test]
    fn spans_count_back_from_now() {
        let now = 10 * DAY_SECONDS * MICROSECONDS;
        assert_eq!(since("90s", now), Ok(now - 90 * MICROSECONDS));
        assert_eq!(since("2h", now), Ok(now - 7200 * MICROSECONDS));
        assert_eq!(since("100d", now), Ok(0));
    }

    #[test]
    fn other_texts_are_no_times() {
        for bad in [
            "",
            "h",
            "-1h",
            "1.5h",
            "2w",
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "2026-1-1",
            "1969-12-31",
            "2026-11-21T24:00:00Z",
            "2026-11-21 10:00:00Z",
            "2026-11-21T10:00:00",
            "2026/11/21",
            "99999999999999999999d",
            "9999999999999999d",
            "２h",
            "2026-11-21T10:00:0äZ",
        ] {
            assert!(since(bad, 0).is_err(), "{bad:?}");
        }
    }
}
