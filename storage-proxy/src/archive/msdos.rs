//! The time of zip: MS-DOS's, of two seconds, from 1980 to 2107. Taken as UTC, since nothing says which zone it is of.

const DAY: i64 = 24 * 3600;

/// Date and time of so many seconds since 1970; the nearest that there is.
pub(super) fn from_unix(seconds: i64) -> (u16, u16) {
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    if year < 1980 {
        return (1 << 5 | 1, 0);
    }
    if year > 2107 {
        return (127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29);
    }
    let date = (year - 1980) << 9 | month << 5 | day;
    let time = (rest / 3600) << 11 | (rest / 60 % 60) << 5 | (rest % 60 / 2);
    (narrow(date), narrow(time))
}

/// Seconds since 1970.
pub(super) fn to_unix(date: u16, time: u16) -> i64 {
    let (date, time) = (i64::from(date), i64::from(time));
    let days = days((date >> 9) + 1980, date >> 5 & 15, date & 31);
    days * DAY + (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2
}

fn narrow(value: i64) -> u16 {
    u16::try_from(value).unwrap_or_default()
}

/// Year, month and day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The reverse. A month or day that there is not leads to some day all the same.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_to_two_seconds() {
        // date -u -d @1732233600: Fri Nov 22 2024.
        let (date, time) = from_unix(1_732_233_600);
        assert_eq!(
            (date >> 9, date >> 5 & 15, date & 31),
            (2024 - 1980, 11, 22)
        );
        assert_eq!(time, 0);
        for seconds in (315_532_800..4_354_819_200).step_by(97_654_322) {
            let (date, time) = from_unix(seconds);
            assert_eq!(to_unix(date, time), seconds / 2 * 2);
        }
    }

    #[test]
    fn what_is_outside_of_its_years_is_the_nearest() {
        assert_eq!(to_unix(from_unix(-1).0, from_unix(-1).1), 315_532_800);
        assert_eq!(from_unix(i64::MAX / 2).0 >> 9, 127);
    }
}
