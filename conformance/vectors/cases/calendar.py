"""When a cron expression fires, by trying every wall time of every day.

Slow and plain on purpose: no search, no offsets worked out by hand. `zoneinfo` says which
moments a wall time has (PEP 495); the rules are those of docs/concepts/scheduling.md.
"""

from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

NAMED = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
DAYS = "SUN MON TUE WED THU FRI SAT".split()
DAY = timedelta(days=1)


def numbers(field, low, high, words=(), base=0):
    """The numbers that a field of `*`, lists, ranges and steps names."""
    found = set()
    for item in field.upper().split(","):
        span, _, step = item.partition("/")
        ends = [str(words.index(end) + base) if end in words else end for end in span.split("-")]
        if span == "*":
            ends = [str(low), str(high)]
        first, last = int(ends[0]), int(ends[-1])
        if words is DAYS and first > 0 and last == 0:
            last = 7
        found |= set(range(first, last + 1, int(step or 1)))
    return found


def weekday(day):
    return (day.weekday() + 1) % 7  # 0 is Sunday


def same_month(day):
    first = day.replace(day=1)
    return [first + n * DAY for n in range(31) if (first + n * DAY).month == day.month]


def day_of_month(day, field):
    month = same_month(day)
    for item in field.upper().split(","):
        if item == "L":
            if day == month[-1]:
                return True
        elif item.endswith("W"):
            working = [other for other in month if weekday(other) not in (0, 6)]
            wanted = month[-1].day if item == "LW" else int(item[:-1])
            if wanted > month[-1].day:
                continue
            if item == "LW":
                nearest = working[-1]
            else:
                nearest = min(working, key=lambda other: abs(other.day - wanted))
            if day == nearest:
                return True
        elif day.day in numbers(item, 1, 31):
            return True
    return False


def day_of_week(day, field):
    alike = [other for other in same_month(day) if weekday(other) == weekday(day)]
    for item in field.upper().split(","):
        if "#" in item or (item.endswith("L") and len(item) > 1):
            name, nth = item.split("#") if "#" in item else (item[:-1], "L")
            if {n % 7 for n in numbers(name, 0, 7, DAYS)} != {weekday(day)}:
                continue
            index = len(alike) - 1 if nth == "L" else int(nth) - 1
            if index < len(alike) and alike[index] == day:
                return True
        elif weekday(day) in {n % 7 for n in numbers(item, 0, 7, DAYS)}:
            return True
    return False


def matches(day, dom, month, dow):
    if day.month not in numbers(month, 1, 12, MONTHS, 1):
        return False
    both = dow.startswith("+")
    dow = dow.lstrip("+")
    if dom == "*" or dow == "*" or both:
        return (dom == "*" or day_of_month(day, dom)) and (dow == "*" or day_of_week(day, dow))
    return day_of_month(day, dom) or day_of_week(day, dow)


def moments(wall, zone):
    """The moments at which the clocks of `zone` show `wall`: none, one or two."""
    found = []
    for fold in (0, 1):
        moment = wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc)
        if moment.astimezone(zone).replace(tzinfo=None) == wall and moment not in found:
            found.append(moment)
    return sorted(found)


def exists(day, zone):
    start = datetime.combine(day, time())
    return any(moments(start + timedelta(minutes=n), zone) for n in range(24 * 60))


def firings_of_day(day, times, fixed, zone):
    for wall in (datetime.combine(day, each) for each in times):
        found = moments(wall, zone)
        if found:
            for fold, at in enumerate(found[:1] if fixed else found):
                yield at, wall, fold
        elif fixed and exists(day, zone):
            after = wall
            while not moments(after, zone):
                after += timedelta(seconds=1)
            yield moments(after, zone)[0], wall, 0


def firings(expression, zone_name, after, count):
    """The first `count` firings strictly after `after`, an aware datetime."""
    zone = ZoneInfo(zone_name)
    fields = NAMED.get(expression.lower(), expression).split()
    fields = fields if len(fields) == 6 else ["0", *fields]
    second, minute, hour, dom, month, dow = fields
    fixed = not any(mark in field for field in fields[:3] for mark in "*/")
    times = [time(h, m, s) for h in sorted(numbers(hour, 0, 23)) for m in sorted(numbers(minute, 0, 59))
             for s in sorted(numbers(second, 0, 59))]
    found = {}
    day = after.astimezone(zone).date() - 2 * DAY
    enough = None  # two days more, for what a change of offset moves across midnight
    while enough is None or day <= enough:
        if day.year > 2500:
            raise ValueError(f"{expression} does not fire")
        if matches(day, dom, month, dow):
            for at, wall, fold in firings_of_day(day, times, fixed, zone):
                # Of several wall times at one moment, the latest gives its name.
                if at > after and (at not in found or found[at][0] < wall):
                    found[at] = wall, fold
        if enough is None and len(found) >= count:
            enough = day + 2 * DAY
        day += DAY
    return [(at, *found[at]) for at in sorted(found)[:count]]


def any_date(fields):
    """Whether some date matches day and month: the calendar repeats after 400 years."""
    day = date(2000, 1, 1)
    return any(matches(day + n * DAY, *fields) for n in range(146097))
