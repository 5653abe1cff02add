#!/usr/bin/env python3
"""simulate.py: card transactions of an invented bank, as CSV.

A made-up world (customers, their devices and habits, merchants, cities) makes
ordinary payments; five kinds of fraud are strewn in between; then one pass in
time order adds the features a bank would have at hand.  The same options give
the same bytes under every Python from 3.9 on: only random.Random's random()
and gauss() are used, and nothing depends on the order of a hash.

Needs nothing but the standard library.

    simulate.py --rows 200000 --seed 42 --out transactions.csv

Columns

    transaction_id      1, 2, 3, ... in time order
    tx_datetime         UTC, whole seconds
    customer_id         who pays
    device_id           phone or computer of an online payment; empty at a till
    merchant_id         who is paid
    country             of the merchant, ISO 3166 alpha-2
    merchant_category   of the merchant
    currency            of the merchant's country, ISO 4217
    amount              in euro, whatever the currency
    hour, is_weekend    on the clock and calendar of the customer's home

and features, all from events strictly earlier than the row's own:

    customer_tx_count_1h            payments of the customer in [t - 1 h, t)
    customer_tx_count_24h           the same in [t - 24 h, t)
    customer_amount_sum_24h         their sum, euro
    seconds_since_last_tx           since the customer's last payment
    amount_ratio_to_customer_mean   amount / mean of all the customer's earlier ones
    amount_ratio_to_merchant_mean   amount / mean of all the merchant's earlier ones
    merchant_tx_count_1h            payments to the merchant in [t - 1 h, t)
    is_new_device, is_new_country, is_new_merchant
                                    never seen with this customer before
    km_from_last_tx                 from the customer's last payment at a till

An empty field is NULL: nothing is known of a customer at the first payment, a
till has no device, an online payment has no place.  No customer and no merchant
has two payments in one second, so "earlier" leaves no doubt.

    is_fraud            true or false; a few frauds (UNREPORTED) are never
                        reported and are labelled false, as in real life
    fraud_pattern       which kind, empty when is_fraud is false
"""
import argparse
import bisect
import collections
import datetime
import math
import random
import sys

HOUR = 3600
DAY = 24 * HOUR

FRAUD_SHARE = 0.011     # of all rows, before the unreported ones
UNREPORTED = 0.04       # of the frauds
WARM_UP = 0.1           # of the period is free of fraud

COLUMNS = (
    "transaction_id", "tx_datetime", "customer_id", "device_id", "merchant_id",
    "country", "merchant_category", "currency", "amount", "hour", "is_weekend",
    "customer_tx_count_1h", "customer_tx_count_24h", "customer_amount_sum_24h",
    "seconds_since_last_tx", "amount_ratio_to_customer_mean",
    "amount_ratio_to_merchant_mean", "merchant_tx_count_1h", "is_new_device",
    "is_new_country", "is_new_merchant", "km_from_last_tx",
    "is_fraud", "fraud_pattern")

# homes: share of the bank's customers; visits: share of their journeys
Country = collections.namedtuple("Country", "code currency utc_offset homes visits cities")

COUNTRIES = (
    Country("AE", "AED", 4, 0, 4, ((25.20, 55.27),)),
    Country("BR", "BRL", -3, 0, 2, ((-23.55, -46.63), (-22.91, -43.17))),
    Country("CH", "CHF", 1, 6, 6, ((47.38, 8.54), (46.20, 6.14))),
    Country("DE", "EUR", 1, 30, 9, ((52.52, 13.40), (53.55, 10.00), (48.14, 11.58))),
    Country("ES", "EUR", 1, 10, 14, ((40.42, -3.70), (41.39, 2.17), (37.39, -5.98))),
    Country("FR", "EUR", 1, 18, 12, ((48.86, 2.35), (45.76, 4.84), (43.30, 5.37))),
    Country("GB", "GBP", 0, 12, 9, ((51.51, -0.13), (53.48, -2.24), (55.95, -3.19))),
    Country("IT", "EUR", 1, 10, 12, ((41.90, 12.50), (45.46, 9.19), (40.85, 14.27))),
    Country("JP", "JPY", 9, 0, 2, ((35.68, 139.69),)),
    Country("NG", "NGN", 1, 0, 1, ((6.52, 3.38),)),
    Country("NL", "EUR", 1, 9, 6, ((52.37, 4.90), (51.92, 4.48))),
    Country("PL", "PLN", 1, 6, 5, ((52.23, 21.01), (50.06, 19.94))),
    Country("PT", "EUR", 0, 4, 8, ((38.72, -9.14), (41.15, -8.61))),
    Country("SE", "SEK", 1, 4, 4, ((59.33, 18.07), (57.71, 11.97))),
    Country("SG", "SGD", 8, 0, 2, ((1.35, 103.82),)),
    Country("TH", "THB", 7, 0, 4, ((13.76, 100.50), (7.88, 98.39))),
    Country("TR", "TRY", 3, 0, 7, ((41.01, 28.98), (36.90, 30.71))),
    Country("US", "USD", -5, 0, 8, ((40.71, -74.01), (34.05, -118.24), (25.76, -80.19))),
)

# price: median in euro; spread: sigma of its logarithm; share: of ordinary payments
Category = collections.namedtuple("Category", "name price spread share online hours")

CATEGORIES = (
    Category("airline", 240, 0.7, 12, True, "day"),
    Category("atm", 90, 0.6, 60, False, "day"),
    Category("charity", 15, 0.8, 6, True, "evening"),
    Category("crypto_exchange", 150, 1.1, 12, True, "evening"),
    Category("digital_goods", 6, 0.8, 75, True, "evening"),
    Category("electronics", 150, 0.9, 30, True, "day"),
    Category("fashion", 55, 0.7, 60, False, "day"),
    Category("fuel", 48, 0.4, 60, False, "commute"),
    Category("gambling", 30, 0.9, 16, True, "night"),
    Category("grocery", 27, 0.7, 250, False, "day"),
    Category("hotel", 170, 0.6, 14, False, "evening"),
    Category("household", 40, 0.8, 50, False, "day"),
    Category("jewellery", 190, 0.9, 7, False, "day"),
    Category("marketplace", 34, 0.8, 90, True, "evening"),
    Category("money_transfer", 180, 1.0, 28, True, "day"),
    Category("pharmacy", 17, 0.6, 50, False, "day"),
    Category("restaurant", 24, 0.6, 140, False, "evening"),
    Category("subscription", 11, 0.4, 40, True, "any"),
    Category("transport", 5, 0.7, 110, False, "commute"),
)
CATEGORY = {category.name: i for i, category in enumerate(CATEGORIES)}

# When a category is paid for: a weight for each hour from 0 to 23.
HOURS = {
    "any": (2, 1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2),
    "commute": (1, 0, 0, 0, 1, 3, 7, 10, 8, 4, 3, 3, 4, 3, 3, 5, 8, 10, 8, 4, 3, 2, 2, 1),
    "day": (1, 0, 0, 0, 0, 0, 1, 2, 4, 6, 8, 8, 8, 7, 7, 7, 8, 9, 8, 5, 3, 2, 1, 1),
    "evening": (3, 1, 1, 0, 0, 0, 1, 1, 2, 2, 3, 5, 7, 5, 3, 3, 4, 5, 8, 10, 10, 8, 6, 4),
    "night": (8, 7, 5, 4, 2, 1, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 7, 9, 10, 9),
}
WEEK = (5, 5, 5, 6, 8, 9, 6)    # Monday to Sunday

# country and category are indexes; city indexes World.cities
Merchant = collections.namedtuple("Merchant", "id country category city price")

# One payment before features are added; t is in seconds since 1970, UTC.
Payment = collections.namedtuple("Payment", "t customer merchant cents device pattern")


class Customer:
    """A customer's habits; numbers are drawn once, when the world is made."""
    __slots__ = ("id", "country", "level", "late", "devices", "swap_day",
                 "away", "favourites")


class Weighted:
    """Draws an index with the probability of its weight."""

    def __init__(self, weights):
        self.steps = []
        total = 0
        for weight in weights:
            total += weight
            self.steps.append(total)

    def draw(self, rng):
        return bisect.bisect_right(self.steps, rng.random() * self.steps[-1])


class World:
    """Countries, merchants and customers, and where things are."""

    def __init__(self, rng, num_customers, first_day, days):
        self.rng = rng
        self.first_day = first_day
        self.days = days
        self.cities = [city for country in COUNTRIES for city in country.cities]
        self.km = [[distance(a, b) for b in self.cities] for a in self.cities]
        self.any_category = Weighted([c.share for c in CATEGORIES])
        self.any_visit = Weighted([c.visits for c in COUNTRIES])
        self.hours = {name: Weighted(weights) for name, weights in sorted(HOURS.items())}
        self.any_day = Weighted([WEEK[(first_day + d + 3) % 7] for d in range(days)])
        self.num_devices = 0
        self.make_merchants(num_customers)
        self.make_customers(num_customers)

    def make_merchants(self, num_customers):
        """At least one merchant of each category in each country, more at home."""
        first_city = 0
        self.merchants = []
        self.by_kind = {}
        for country, place in enumerate(COUNTRIES):
            for category, kind in enumerate(CATEGORIES):
                number = 1 + int(num_customers * (place.homes + 3) * kind.share / 500000)
                shops = []
                for _ in range(number):
                    city = first_city + self.pick_index(len(place.cities))
                    price = kind.price * math.exp(0.35 * self.rng.gauss(0, 1))
                    shops.append(Merchant(len(self.merchants) + 1, country, category, city, price))
                    self.merchants.append(shops[-1])
                self.by_kind[country, category] = shops
            first_city += len(place.cities)

    def make_customers(self, num_customers):
        any_home = Weighted([c.homes for c in COUNTRIES])
        rng = self.rng
        self.customers = []
        for i in range(num_customers):
            customer = Customer()
            customer.id = i + 1
            customer.country = any_home.draw(rng)
            customer.level = math.exp(0.45 * rng.gauss(0, 1))
            customer.late = int(rng.gauss(0.5, 1.6))
            customer.devices = [self.new_device() for _ in range(2 if rng.random() < 0.4 else 1)]
            customer.swap_day = self.pick_index(self.days) if rng.random() < 0.1 else -1
            home = self.shop(customer.country, CATEGORY["grocery"]).city
            customer.favourites = [self.shop_near(home, customer.country, self.any_category.draw(rng))
                                   for _ in range(10 + self.pick_index(8))]
            customer.away = {}
            while rng.random() < 0.3:
                self.plan_trip(customer)
            self.customers.append(customer)

    def plan_trip(self, customer):
        country = self.any_visit.draw(self.rng)
        start = self.pick_index(self.days)
        for day in range(start, start + 2 + self.pick_index(12)):
            customer.away[day] = country

    def new_device(self):
        self.num_devices += 1
        return self.num_devices

    def pick_index(self, n):
        return int(self.rng.random() * n)

    def pick(self, sequence):
        return sequence[int(self.rng.random() * len(sequence))]

    def shop(self, country, category):
        """A merchant of that kind; the first ones are the popular ones."""
        shops = self.by_kind[country, category]
        return shops[int(self.rng.random() ** 2 * len(shops))]

    def shop_near(self, city, country, category):
        """The same, with some effort to find one in that city."""
        for _ in range(6):
            merchant = self.shop(country, category)
            if merchant.city == city:
                break
        return merchant

    def moment(self, customer, day, hour):
        """Some second within that hour of the customer's own clock."""
        local = hour - COUNTRIES[customer.country].utc_offset
        return (self.first_day + day) * DAY + local * HOUR + self.pick_index(HOUR)


def distance(a, b):
    """Kilometres between two (latitude, longitude) in degrees: haversine."""
    lat_a, lon_a, lat_b, lon_b = map(math.radians, a + b)
    h = (math.sin((lat_b - lat_a) / 2) ** 2
         + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2)
    return round(2 * 6371 * math.asin(math.sqrt(h)))


# Ordinary life

def price(world, customer, merchant):
    """What an ordinary purchase costs, in cents."""
    kind = CATEGORIES[merchant.category]
    if kind.name == "subscription":
        return int(100 * merchant.price)
    cents = 100 * merchant.price * customer.level * math.exp(kind.spread * world.rng.gauss(0, 1))
    if kind.name == "atm":
        return max(1000, int(cents / 1000 + 0.5) * 1000)
    return max(30, int(cents))


def ordinary_payments(world, customer, number):
    """Payments of one customer: favourites, other shops, trips, sprees."""
    rng = world.rng
    payments = []
    while len(payments) < number:
        day = world.any_day.draw(rng)
        country = customer.away.get(day, customer.country)
        if country == customer.country and rng.random() < 0.75:
            merchant = world.pick(customer.favourites)
        else:
            category = world.any_category.draw(rng)
            if CATEGORIES[category].online and rng.random() < 0.15:
                country = world.any_visit.draw(rng)
            merchant = world.shop(country, category)
        kind = CATEGORIES[merchant.category]
        hour = (world.hours[kind.hours].draw(rng) + customer.late) % 24
        device = None
        if kind.online:
            device = world.pick(customer.devices)
            if 0 <= customer.swap_day <= day:
                device = -customer.id       # the new phone; numbered at the end
        t = world.moment(customer, day, hour)
        payments.append(Payment(t, customer, merchant, price(world, customer, merchant), device, ""))
        if rng.random() < 0.02:
            payments += spree(world, customer, payments[-1])
    return payments[:number]


def spree(world, customer, first):
    """An afternoon of shopping, or a bundle of rides or downloads, in quick succession."""
    payments = []
    t = first.t
    merchant = first.merchant
    same = world.rng.random() < 0.4
    for _ in range(2 + world.pick_index(6)):
        t += 40 + int(900 * world.rng.random() ** 2)
        if not same:
            category = world.any_category.draw(world.rng)
            if CATEGORIES[category].online != CATEGORIES[merchant.category].online:
                continue
            merchant = world.shop(first.merchant.country, category)
        payments.append(Payment(t, customer, merchant, price(world, customer, merchant),
                                first.device, ""))
    return payments


# Fraud.  Each function makes one campaign: (world, ordinary payments by merchant) -> payments

def someday(world):
    """A day on which fraud may begin."""
    return int(world.days * (WARM_UP + (1 - WARM_UP) * world.rng.random()))


def account_takeover(world, _):
    """A stranger's device, often a strange country, and a burst of growing amounts."""
    rng = world.rng
    customer = world.pick(world.customers)
    country = customer.country if rng.random() < 0.35 else world.pick_index(len(COUNTRIES))
    device = world.new_device() if rng.random() < 0.8 else world.pick(customer.devices)
    kinds = ("electronics", "marketplace", "airline", "digital_goods", "electronics", "gambling")
    t = world.moment(customer, someday(world), world.pick_index(24))
    amount = customer.level * (10 + 50 * rng.random())
    payments = []
    for _ in range(3 + world.pick_index(7)):
        merchant = world.shop(country, CATEGORY[world.pick(kinds)])
        payments.append(Payment(t, customer, merchant, int(100 * amount), device, "account_takeover"))
        t += 60 + int(2 * HOUR * rng.random() ** 2)
        amount *= 1.1 + 0.6 * rng.random()
    return payments


def card_testing(world, _):
    """Stolen numbers tried with tiny amounts at one shop; those that work buy something big."""
    rng = world.rng
    country = world.pick_index(len(COUNTRIES))
    tester = world.shop(country, CATEGORY[world.pick(("charity", "digital_goods", "subscription"))])
    day = someday(world)
    start = (world.first_day + day) * DAY + world.pick_index(DAY)
    payments = []
    for _ in range(1 + world.pick_index(5)):
        customer = world.pick(world.customers)
        device = world.new_device()
        t = start + world.pick_index(2 * HOUR)
        for _ in range(2 + world.pick_index(5)):
            cents = 50 + world.pick_index(350)
            payments.append(Payment(t, customer, tester, cents, device, "card_testing"))
            t += 15 + world.pick_index(180)
        if rng.random() < 0.7:
            t += 600 + world.pick_index(6 * HOUR)
            merchant = world.shop(country, CATEGORY[world.pick(("electronics", "marketplace"))])
            cents = int(100 * customer.level * (80 + 500 * rng.random()))
            payments.append(Payment(t, customer, merchant, cents, device, "card_testing"))
    return payments


def wallet_drain(world, _):
    """Several large transfers within minutes; half of the time from the customer's own device."""
    rng = world.rng
    customer = world.pick(world.customers)
    device = world.new_device() if rng.random() < 0.5 else world.pick(customer.devices)
    kind = CATEGORY[world.pick(("crypto_exchange", "money_transfer"))]
    country = customer.country if rng.random() < 0.6 else world.pick_index(len(COUNTRIES))
    merchant = world.shop(country, kind)
    t = world.moment(customer, someday(world), world.pick_index(24))
    payments = []
    for _ in range(2 + world.pick_index(4)):
        cents = int(100 * customer.level * (150 + 700 * rng.random()))
        payments.append(Payment(t, customer, merchant, cents, device, "wallet_drain"))
        t += 20 + world.pick_index(400)
    return payments


def merchant_scam(world, by_merchant):
    """A crooked or tapped terminal: for some days its customers are charged again, and more."""
    rng = world.rng
    merchant = world.pick(world.pick(world.customers).favourites)
    begin = (world.first_day + someday(world)) * DAY
    end = begin + (2 + world.pick_index(8)) * DAY
    payments = []
    for true in by_merchant.get(merchant.id, ()):
        if begin <= true.t < end and rng.random() < 0.5:
            t = true.t + 120 + int(2 * DAY * rng.random() ** 3)
            cents = int(true.cents * (1.5 + 4 * rng.random())) + 500
            payments.append(Payment(t, true.customer, merchant, cents, true.device, "merchant_scam"))
    return payments


def night_mule(world, _):
    """A lent account: cash from several machines in the small hours, a few nights running."""
    rng = world.rng
    customer = world.pick(world.customers)
    first = someday(world)
    payments = []
    for day in range(first, first + 1 + world.pick_index(3)):
        t = world.moment(customer, day, world.pick_index(4))
        for _ in range(2 + world.pick_index(3)):
            merchant = world.shop(customer.country, CATEGORY["atm"])
            cents = 5000 * (2 + world.pick_index(8))
            payments.append(Payment(t, customer, merchant, cents, None, "night_mule"))
            t += 180 + int(1800 * rng.random())
    return payments


# Weights of campaigns, not of rows: a card testing has four times the rows of a wallet drain.
CAMPAIGNS = ((account_takeover, 28), (card_testing, 10), (wallet_drain, 29),
             (merchant_scam, 16), (night_mule, 17))


def frauds(world, ordinary, number):
    """So many fraudulent payments, campaign by campaign; a few lose their label."""
    by_merchant = {}
    for payment in ordinary:
        by_merchant.setdefault(payment.merchant.id, []).append(payment)
    which = Weighted([weight for _, weight in CAMPAIGNS])
    end = (world.first_day + world.days) * DAY
    payments = []
    while len(payments) < number:
        campaign = CAMPAIGNS[which.draw(world.rng)][0]
        for payment in campaign(world, by_merchant):
            if payment.t < end:
                hidden = world.rng.random() < UNREPORTED
                payments.append(payment._replace(pattern="") if hidden else payment)
    return payments[:number]


# Putting it together

def simulate(rows, seed, days, num_customers, start):
    """A bank: (world, [(time, payment)] in time order); exactly so many rows."""
    rng = random.Random(seed)
    world = World(rng, num_customers, (start - datetime.date(1970, 1, 1)).days, days)
    num_frauds = int(rows * FRAUD_SHARE + 0.5)
    activity = [math.exp(0.7 * rng.gauss(0, 1)) for _ in world.customers]
    scale = (rows - num_frauds) / sum(activity)
    payments = []
    due = 0.0
    for customer, share in zip(world.customers, activity):
        due += share * scale
        payments += ordinary_payments(world, customer, int(due + 0.5) - len(payments))
    payments += frauds(world, payments, rows - len(payments))
    return world, in_time_order(world, payments)


def in_time_order(world, payments):
    """[(time, payment)], seconds later where a customer or merchant had two payments at once."""
    begin = world.first_day * DAY
    length = world.days * DAY
    taken = set()
    times = []
    for i, payment in enumerate(payments):
        t = payment.t
        while True:
            t = begin + (t - begin) % length    # a clock behind or ahead of UTC may leave the period
            customer_key = (t, payment.customer.id)
            merchant_key = (t, -payment.merchant.id)
            if customer_key not in taken and merchant_key not in taken:
                break
            t += 1
        taken.add(customer_key)
        taken.add(merchant_key)
        times.append((t, i))
    times.sort()
    return [(t, payments[i]) for t, i in times]


class History:
    """What is known of a customer or a merchant from earlier payments."""
    __slots__ = ("count", "cents", "last_t", "city", "seen", "hour", "hour_day", "day", "day_cents")

    def __init__(self):
        self.count = 0
        self.cents = 0
        self.last_t = None
        self.city = None                    # of the last payment at a till
        self.seen = set()                   # device numbers, country codes, minus merchant numbers
        self.hour = collections.deque()     # times in the last hour
        self.day = collections.deque()      # (time, cents) in the last day
        self.day_cents = 0

    def forget(self, t):
        """Drops what has left the windows [t - 1 h, t) and [t - 24 h, t)."""
        hour = self.hour
        while hour and hour[0] < t - HOUR:
            hour.popleft()
        day = self.day
        while day and day[0][0] < t - DAY:
            self.day_cents -= day.popleft()[1]

    def is_new(self, thing):
        """CSV text; unknown (empty) as long as there is no earlier payment."""
        if self.count == 0:
            return ""
        return "false" if thing in self.seen else "true"

    def ratio(self, cents):
        """cents / mean so far, as CSV text."""
        return "%.4f" % (cents * self.count / self.cents) if self.count else ""


def euro(cents):
    return "%d.%02d" % divmod(cents, 100)


def add_features(world, payments):
    """Yields one CSV line for each payment."""
    customers = [History() for _ in range(len(world.customers) + 1)]
    merchants = [History() for _ in range(len(world.merchants) + 1)]
    begin = datetime.date(1970, 1, 1) + datetime.timedelta(world.first_day)
    dates = [str(begin + datetime.timedelta(d)) for d in range(world.days)]
    clock = ["%02d:%02d" % divmod(minute, 60) for minute in range(24 * 60)]
    last_device = world.num_devices

    for number, (t, payment) in enumerate(payments, 1):
        _, customer, merchant, cents, device, pattern = payment
        mine = customers[customer.id]
        theirs = merchants[merchant.id]
        mine.forget(t)
        theirs.forget(t)
        country = COUNTRIES[merchant.country]
        kind = CATEGORIES[merchant.category]
        local = t + COUNTRIES[customer.country].utc_offset * HOUR
        if device is None:
            device = new_device = ""
        else:
            device = device if device > 0 else last_device - device
            new_device = mine.is_new(device)
        km = ""
        if not kind.online:
            if mine.city is not None:
                km = world.km[mine.city][merchant.city]
            mine.city = merchant.city

        yield "%d,%s %s:%02d+00,%d,%s,%d,%s,%s,%s,%s,%d,%s,%d,%d,%s,%s,%s,%s,%d,%s,%s,%s,%s,%s,%s\n" % (
            number, dates[t // DAY - world.first_day], clock[t % DAY // 60], t % 60,
            customer.id, device, merchant.id, country.code, kind.name, country.currency,
            euro(cents), local % DAY // HOUR, "true" if (local // DAY + 3) % 7 > 4 else "false",
            len(mine.hour), len(mine.day), euro(mine.day_cents),
            "" if mine.last_t is None else t - mine.last_t,
            mine.ratio(cents), theirs.ratio(cents), len(theirs.hour),
            new_device, mine.is_new(country.code),
            mine.is_new(-merchant.id), km,
            "true" if pattern else "false", pattern)

        for history in (mine, theirs):
            history.count += 1
            history.cents += cents
            history.last_t = t
            history.hour.append(t)
        mine.day.append((t, cents))
        mine.day_cents += cents
        mine.seen.add(country.code)
        mine.seen.add(-merchant.id)
        mine.seen.add(device)


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def main():
    parser = argparse.ArgumentParser(description="Simulates card transactions with fraud, as CSV.")
    parser.add_argument("--rows", type=positive, default=200000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--days", type=positive, default=60)
    parser.add_argument("--customers", type=positive, help="default: one for each 60 rows")
    parser.add_argument("--start", type=datetime.date.fromisoformat, default=datetime.date(2026, 1, 5),
                        help="first day (UTC), default 2026-01-05")
    parser.add_argument("--out", help="file to write, default: standard output")
    options = parser.parse_args()

    world, payments = simulate(options.rows, options.seed, options.days,
                               options.customers or max(1, options.rows // 60), options.start)
    out = open(options.out, "w", newline="") if options.out else sys.stdout
    out.write(",".join(COLUMNS) + "\n")
    out.writelines(add_features(world, payments))
    out.flush()


if __name__ == "__main__":
    main()
