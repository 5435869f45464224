"""cron.json: when schedules fire, and which expressions are refused."""

from datetime import datetime

from cases.calendar import any_date, firings

CRON = {
    "what": "When a cron expression fires in a time zone: docs/concepts/scheduling.md.",
    "fields": {
        "expression, timezone": "as a user writes them",
        "after": "firings are strictly after this moment",
        "firings": "the next ones, in order: the moment, the wall time that the expression names, and 1 for its second occurrence",
        "refused": "the code of the refusal, instead of firings",
    },
}

BERLIN, NEW_YORK, LORD_HOWE, APIA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"
NUUK, BEIRUT, KATHMANDU, KOLKATA = "America/Nuuk", "Asia/Beirut", "Asia/Kathmandu", "Asia/Kolkata"

# name, why, expression, zone, after, how many
FIRING = [
    ("every day", "the plain case", "30 2 * * *", "UTC", "2026-01-30T02:30:00Z", 3),
    ("strictly after", "the moment itself does not count", "0 0 * * *", "UTC", "2026-01-01T00:00:00Z", 1),
    ("a millisecond before", "what is less than a second away is still ahead", "0 0 * * *", "UTC", "2025-12-31T23:59:59.999Z", 1),
    ("a millisecond after", "a fraction of a second is not rounded to the firing", "* * * * *", "UTC", "2026-01-01T00:00:00.001Z", 2),
    ("before 1970", "moments before the epoch are rounded the same way", "* * * * *", "UTC", "1969-12-31T23:58:00.500Z", 3),
    ("list, range and step", "what the fields are made of", "0,30 8-10/2 * * *", "UTC", "2026-05-01T00:00:00Z", 5),
    ("step of all", "a step counts from the least value of the field", "*/25 * * * *", "UTC", "2026-05-01T00:10:00Z", 5),
    ("seconds", "six fields begin with the second", "*/20 59 23 * * *", "UTC", "2026-05-01T00:00:00Z", 4),
    ("one second of each minute", "six fields", "15 * * * * *", "UTC", "2026-05-01T00:00:15Z", 2),
    ("words", "months and weekdays by name, in any case", "0 12 * jan,Jul mon-FRI", "UTC", "2026-01-29T12:00:00Z", 4),
    ("Sunday is 0", "0 and 7 are one day", "0 0 * * 0", "UTC", "2026-05-01T00:00:00Z", 2),
    ("Sunday is 7", "0 and 7 are one day", "0 0 * * 7", "UTC", "2026-05-01T00:00:00Z", 2),
    ("a week that ends with Sunday", "FRI-SUN runs on to 7", "0 0 * * FRI-SUN", "UTC", "2026-05-01T00:00:00Z", 3),
    ("white space", "fields are apart by any of it", "  0\t0   * * * ", "UTC", "2026-05-01T00:00:00Z", 1),

    ("@yearly", "a name", "@yearly", "UTC", "2026-05-01T00:00:00Z", 2),
    ("@annually", "a name", "@annually", "UTC", "2026-05-01T00:00:00Z", 1),
    ("@monthly", "a name", "@monthly", "UTC", "2026-11-01T00:00:00Z", 2),
    ("@weekly", "a name; the week begins on Sunday", "@weekly", "UTC", "2026-05-01T00:00:00Z", 2),
    ("@daily", "a name", "@daily", "UTC", "2026-05-01T00:00:00Z", 1),
    ("@midnight", "a name, in any case", "@Midnight", "UTC", "2026-05-01T00:00:00Z", 1),
    ("@hourly", "a name", "@hourly", "UTC", "2026-05-01T23:59:59Z", 2),

    ("end of the year", "midnight in the zone, not in UTC", "0 0 1 1 *", KATHMANDU, "2025-12-31T00:00:00Z", 2),
    ("last second of the year", "all fields turn at once", "59 59 23 31 12 *", "UTC", "2025-12-31T23:59:59Z", 1),
    ("across the year", "months wrap", "0 0 * 12,1 5", "UTC", "2026-12-20T00:00:00Z", 3),
    ("leap day", "the 29th of February is in leap years only", "0 0 29 2 *", "UTC", "2024-02-29T00:00:00Z", 2),
    ("no leap day in 2100", "a century is a leap year if 400 divides it", "0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", 1),
    ("31st", "months without a 31st are skipped", "0 0 31 * *", "UTC", "2026-01-31T00:00:00Z", 4),
    ("30th", "February has none", "0 0 30 * *", "UTC", "2026-01-30T00:00:00Z", 2),
    ("last day of the month", "L", "0 0 L * *", "UTC", "2028-01-31T00:00:00Z", 3),
    ("15th and last", "L in a list", "0 0 15,L 2 *", "UTC", "2026-01-01T00:00:00Z", 2),
    ("last working day", "LW", "0 0 LW * *", "UTC", "2026-01-01T00:00:00Z", 6),
    ("nearest working day", "W stays in the month", "0 0 1W * *", "UTC", "2026-01-01T00:00:00Z", 9),
    ("nearest working day to the 31st", "a month without a 31st has none", "0 0 31W * *", "UTC", "2026-01-01T00:00:00Z", 5),
    ("second Tuesday", "#", "0 9 * * TUE#2", "UTC", "2026-01-01T00:00:00Z", 3),
    ("fifth Monday", "not every month has one", "0 9 * * 1#5", "UTC", "2026-01-01T00:00:00Z", 3),
    ("last Friday", "L after a weekday", "0 9 * * FRIL", "UTC", "2026-01-01T00:00:00Z", 3),
    ("last Sunday by 7", "7 is Sunday here too", "0 9 * * 7#L", "UTC", "2026-01-01T00:00:00Z", 2),
    ("day of month or day of week", "if both are given, either will do", "0 0 13 * FRI", "UTC", "2026-02-01T00:00:00Z", 6),
    ("day of month and day of week", "+ asks for both", "0 0 13 * +FRI", "UTC", "2026-02-01T00:00:00Z", 3),
    ("a step is a restriction", "only a bare * leaves the day to the other field", "0 0 */10 * MON", "UTC", "2026-02-01T00:00:00Z", 6),

    ("spring gap, fixed", "a time that is left out fires once, right after the gap", "30 2 * * *", BERLIN, "2026-03-28T00:00:00Z", 4),
    ("spring gap, its first moment", "02:00 is left out, 03:00 is not", "0 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2),
    ("spring gap, its end", "03:00 is there", "0 3 * * *", BERLIN, "2026-03-28T12:00:00Z", 2),
    ("spring gap, several fixed times", "they fire as one, named by the latest", "0,20,40 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 4),
    ("spring gap, a list of hours", "lists of numbers are fixed: 02:30 is not missed", "30 2,14 * * *", BERLIN, "2026-03-28T12:00:00Z", 4),
    ("spring gap and a time right after it", "one moment, one firing", "0 2,3 * * *", BERLIN, "2026-03-28T12:00:00Z", 4),
    ("spring gap, a range of hours", "ranges of numbers are fixed", "15 0-4 * * *", BERLIN, "2026-03-28T23:00:00Z", 6),
    ("spring gap, every quarter of an hour", "intervals take what is there", "*/15 * * * *", BERLIN, "2026-03-29T00:30:00Z", 4),
    ("spring gap, quarters of the lost hour", "an interval that lies in the gap has no firing that day", "*/15 2 * * *", BERLIN, "2026-03-29T00:00:00Z", 2),
    ("spring gap, every hour", "23 hours, 23 firings", "0 * * * *", BERLIN, "2026-03-28T23:30:00Z", 3),
    ("spring gap, every two hours", "02:00 is not there and not made up", "0 */2 * * *", BERLIN, "2026-03-28T22:00:00Z", 3),
    ("spring gap, on one weekday", "the day is that of the time named", "30 2 * * SUN", BERLIN, "2026-03-28T00:00:00Z", 2),
    ("spring gap, seconds", "a fixed second", "10 30 2 * * *", BERLIN, "2026-03-29T00:00:00Z", 2),
    ("spring gap, every second of a minute", "* in the seconds makes an interval", "* 30 2 * * *", BERLIN, "2026-03-29T00:00:00Z", 2),
    ("spring gap, asked within a second of it", "strictly after", "30 2 * * *", BERLIN, "2026-03-29T00:59:59.999Z", 1),
    ("spring gap, asked at its end", "strictly after: the firing of the gap is over", "30 2 * * *", BERLIN, "2026-03-29T01:00:00Z", 1),
    ("autumn fold, fixed", "a time that is there twice fires the first time", "30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2),
    ("autumn fold, fixed, asked in between", "not again the second time", "30 2 * * *", BERLIN, "2026-10-25T00:30:00Z", 1),
    ("autumn fold, fixed, asked in the second hour", "not again the second time", "30 2 * * *", BERLIN, "2026-10-25T01:15:00Z", 1),
    ("autumn fold, a list of times", "each once", "0,30 1-3 * * *", BERLIN, "2026-10-24T22:30:00Z", 7),
    ("autumn fold, its end", "03:00 is there once", "0 3 * * *", BERLIN, "2026-10-24T12:00:00Z", 2),
    ("autumn fold, every half hour", "intervals fire in both", "*/30 * * * *", BERLIN, "2026-10-24T23:30:00Z", 6),
    ("autumn fold, quarters of the doubled hour", "intervals fire in both", "*/15 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 9),
    ("autumn fold, every hour", "25 hours, 25 firings", "@hourly", BERLIN, "2026-10-24T23:30:00Z", 4),
    ("autumn fold, every two hours", "02:00 is there twice", "0 */2 * * *", BERLIN, "2026-10-24T22:30:00Z", 3),
    ("autumn fold, once asked from the second", "the second occurrence is found from in between", "0 * * * *", BERLIN, "2026-10-25T00:30:00Z", 2),
    ("New York, spring", "the gap is 02:00 to 03:00", "30 2 * * *", NEW_YORK, "2026-03-07T12:00:00Z", 2),
    ("New York, autumn", "the fold is 01:00 to 02:00", "30 1 * * *", NEW_YORK, "2026-10-31T12:00:00Z", 2),
    ("New York, autumn, interval", "the fold is 01:00 to 02:00", "*/30 1 * * *", NEW_YORK, "2026-10-31T12:00:00Z", 5),
    ("Lord Howe, spring", "a gap of half an hour", "15 2 * * *", LORD_HOWE, "2026-10-03T00:00:00Z", 2),
    ("Lord Howe, spring, after the gap", "02:30 is there", "30 2 * * *", LORD_HOWE, "2026-10-03T00:00:00Z", 2),
    ("Lord Howe, autumn", "a fold of half an hour", "45 1 * * *", LORD_HOWE, "2026-04-04T00:00:00Z", 2),
    ("Lord Howe, autumn, interval", "01:30 to 02:00 is there twice", "*/15 * * * *", LORD_HOWE, "2026-04-04T14:15:00Z", 6),
    ("Lord Howe, autumn, every hour", "an hour and a half apart, once", "0 * * * *", LORD_HOWE, "2026-04-04T13:30:00Z", 3),
    ("Beirut, spring", "midnight is left out", "0 0 * * *", BEIRUT, "2026-03-27T12:00:00Z", 3),
    ("Nuuk, spring", "the gap ends at midnight: the firing is on the next date", "30 23 * * *", NUUK, "2026-03-28T12:00:00Z", 2),
    ("Nuuk, spring, on Saturdays", "the day is that of the time named", "30 23 * * SAT", NUUK, "2026-03-28T12:00:00Z", 2),
    ("Samoa, the day that was not", "a date that is left out has no times", "30 12 * * *", APIA, "2011-12-29T00:00:00Z", 3),
    ("Samoa, midnight", "nothing is made up for the date left out", "0 0 * * *", APIA, "2011-12-28T12:00:00Z", 3),
    ("Samoa, only that date", "the 30th was left out in 2011", "0 6 30 12 *", APIA, "2011-12-01T00:00:00Z", 1),
    ("Samoa, last of the month", "the 31st was there", "0 6 L 12 *", APIA, "2011-12-01T00:00:00Z", 1),
    ("Kathmandu", "an offset of 5:45", "0 6 * * *", KATHMANDU, "2026-03-28T12:00:00Z", 2),
    ("Kathmandu, every hour", "hours of the zone, a quarter to in UTC", "0 * * * *", KATHMANDU, "2026-03-28T12:00:00Z", 2),
    ("Kolkata", "a zone without summer time", "30 2 * * *", KOLKATA, "2026-03-28T00:00:00Z", 2),
    ("far ahead", "rules of summer time go on", "30 2 * * *", BERLIN, "2060-03-27T12:00:00Z", 2),
]

# name, why, expression, zone, code
REFUSED = [
    ("empty", "nothing was written", "", "UTC", "empty"),
    ("blank", "nothing was written", "  \t", "UTC", "empty"),
    ("too long", "no one writes 257 bytes", "0 0 " + "1," * 125 + "1 *", "UTC", "too_long"),
    ("one field", "5 or 6", "5", "UTC", "field_count"),
    ("four fields", "5 or 6", "0 0 * *", "UTC", "field_count"),
    ("seven fields", "there is no field for the year", "0 0 0 * * * 2026", "UTC", "field_count"),
    ("eight fields", "5 or 6", "0 0 0 * * * * *", "UTC", "field_count"),
    ("unknown name", "@reboot is not a time", "@reboot", "UTC", "unknown_name"),
    ("an interval by name", "@every is not known", "@every 5m", "UTC", "unknown_name"),
    ("minute 60", "0 to 59", "60 * * * *", "UTC", "out_of_range"),
    ("second 60", "0 to 59", "60 * * * * *", "UTC", "out_of_range"),
    ("hour 24", "midnight is 0", "0 24 * * *", "UTC", "out_of_range"),
    ("day 0", "1 to 31", "0 0 0 * *", "UTC", "out_of_range"),
    ("day 32", "1 to 31", "0 0 32 * *", "UTC", "out_of_range"),
    ("month 13", "1 to 12", "0 0 1 13 *", "UTC", "out_of_range"),
    ("weekday 8", "0 to 7", "0 0 * * 8", "UTC", "out_of_range"),
    ("a number that does not fit", "no wrapping", "65536 * * * *", "UTC", "out_of_range"),
    ("a minus", "no negative numbers", "-5 * * * *", "UTC", "syntax"),
    ("a plus", "a number has no sign", "+5 * * * *", "UTC", "syntax"),
    ("a word for a minute", "numbers only", "MON * * * *", "UTC", "syntax"),
    ("a month as weekday", "JAN is no day", "0 0 * * JAN", "UTC", "syntax"),
    ("a whole word", "three letters", "0 0 * * MONDAY", "UTC", "syntax"),
    ("backwards", "22-2 is two ranges", "0 22-2 * * *", "UTC", "syntax"),
    ("step 0", "a step moves", "*/0 * * * *", "UTC", "syntax"),
    ("step beyond the field", "every 90 minutes cannot be said so", "*/90 * * * *", "UTC", "syntax"),
    ("step after a number", "a range or * has steps", "0/15 * * * *", "UTC", "syntax"),
    ("empty item", "a list has no gaps", "1,,2 * * * *", "UTC", "syntax"),
    ("open range", "a range has two ends", "1- * * * *", "UTC", "syntax"),
    ("question mark", "it belongs to a dialect that counts weekdays from 1", "0 0 ? * 6", "UTC", "syntax"),
    ("L as hour", "L is for days", "0 L * * *", "UTC", "syntax"),
    ("sixth Monday", "a month has at most five", "0 0 * * 1#6", "UTC", "syntax"),
    ("other digits", "digits are 0 to 9", "٣ * * * *", "UTC", "syntax"),
    ("31st of February", "never", "* * 31 2 *", "UTC", "never_fires"),
    ("30th of February", "never, not in leap years either", "0 0 30 2 *", "UTC", "never_fires"),
    ("31st of short months", "never", "0 0 31 4,6,9,11 *", "UTC", "never_fires"),
    ("unknown zone", "no such name", "0 0 * * *", "Europe/Berln", "unknown_timezone"),
    ("an offset for a zone", "an offset has no summer time", "0 0 * * *", "+02:00", "unknown_timezone"),
    ("empty zone", "the caller says UTC if it means UTC", "0 0 * * *", "", "unknown_timezone"),
    ("a path for a zone", "names, not files", "0 0 * * *", "../../etc/localtime", "unknown_timezone"),
    ("the zone of the machine", "each machine has another", "0 0 * * *", "localtime", "machine_timezone"),
    ("a zone by other rules", "only some systems have them", "0 0 * * *", "right/UTC", "machine_timezone"),
]


def cron_cases():
    cases = []
    for name, why, expression, zone, after, count in FIRING:
        listed = [
            {"at": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "local": wall.isoformat(), "fold": fold}
            for at, wall, fold in firings(expression, zone, datetime.fromisoformat(after), count)
        ]
        cases.append({"name": name, "why": why, "expression": expression, "timezone": zone, "after": after, "firings": listed})
    for name, why, expression, zone, code in REFUSED:
        if code == "never_fires":
            assert not any_date(expression.split()[-3:]), f"{expression} fires"
        cases.append({"name": name, "why": why, "expression": expression, "timezone": zone, "refused": code})
    return cases
