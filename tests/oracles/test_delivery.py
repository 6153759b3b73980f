"""The delivery oracles: by hand, against brute force, and on histories of a correct system with one anomaly put in."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.oracles.delivery import Account, Effect, Item, Owes, account, early, late, overtaken, waits_ns


def item(name: str, sent: int = 0, accepted: int = 1, owes: Owes = Owes.ONE, due: int = 0) -> Item:
    return Item(name, sent, accepted, owes, due)


def names(found: Account) -> tuple[list[str], list[tuple[str, bool]], list[str]]:
    lost = [it.id for it in found.lost]
    return lost, [(it.id, it.justified) for it in found.doubled], [it.id for it in found.phantoms]


def test_what_was_accepted_and_done_once_is_in_order() -> None:
    found = account([item("a"), item("b")], [Effect("b", 5), Effect("a", 4)])
    assert names(found) == ([], [], [])
    assert found.done == {"a": 4, "b": 5}


def test_what_was_accepted_and_never_done_is_lost() -> None:
    assert names(account([item("a"), item("b")], [Effect("a", 4)])) == (["b"], [], [])


def test_of_what_nobody_knows_nothing_is_lost_but_two_are_too_many() -> None:
    unknown = item("a", owes=Owes.AT_MOST_ONE)
    assert names(account([unknown], [])) == ([], [], [])
    assert names(account([unknown], [Effect("a", 4)])) == ([], [], [])
    assert names(account([unknown], [Effect("a", 4), Effect("a", 5)])) == ([], [("a", False)], [])


def test_what_was_refused_or_never_asked_for_is_a_phantom() -> None:
    refused = item("a", owes=Owes.NONE)
    assert names(account([refused], [Effect("a", 4), Effect("b", 5)])) == ([], [], ["a", "b"])


@pytest.mark.parametrize(
    ("told", "cuts", "justified"),
    [
        (True, [], False),
        (False, [], True),
        (True, [4], True),
        (True, [7], True),
        (True, [9], True),
        (True, [3, 10], False),
    ],
)
def test_a_second_effect_is_justified_where_the_first_was_not_told_or_something_was_cut_between(
    told: bool, cuts: list[int], justified: bool
) -> None:
    found = account([item("a")], [Effect("a", 4, told), Effect("a", 9)], cuts)
    assert names(found)[1] == [("a", justified)]


def test_of_three_effects_each_is_held_against_the_one_before() -> None:
    found = account([item("a")], [Effect("a", 1, told=False), Effect("a", 2), Effect("a", 3)])
    assert names(found)[1] == [("a", True), ("a", False)]


def test_early_and_late_count_from_what_was_promised() -> None:
    items = [item("now", accepted=10), item("then", accepted=10, due=100)]
    assert [it.id for it in early(items, {"now": 5, "then": 99})] == ["then"]
    assert early(items, {"then": 100}) == []
    assert [it.id for it in late(items, {"now": 21, "then": 110}, within_ns=10)] == ["now"]
    assert late(items, {"now": 60, "then": 110}, within_ns=10, since_ns=50) == []
    assert waits_ns(items, {"now": 5, "then": 130}) == {"now": 5, "then": 30}


def test_only_who_was_accepted_before_another_was_sent_can_be_overtaken() -> None:
    first, second = item("first", 0, 10), item("second", 11, 20)
    assert [it.id for it in overtaken([first, second], {"first": 40, "second": 30})] == ["first"]
    assert overtaken([first, replace(second, sent_ns=10)], {"first": 40, "second": 30}) == []
    assert overtaken([first, second], {"first": 30, "second": 40}) == []
    assert overtaken([first, second], {"second": 30}) == [], "of the lost nothing is said here"


moments = st.integers(0, 30)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Item], list[Effect], list[int]]:
    items = []
    for number in range(draw(st.integers(0, 8))):
        sent = draw(moments)
        owes, due = draw(st.sampled_from(Owes)), draw(st.sampled_from([0, sent + 3]))
        items.append(Item(str(number), sent, sent + draw(st.integers(0, 5)), owes, due))
    effects = draw(st.lists(st.builds(Effect, st.sampled_from("0123456789"), moments, st.booleans()), max_size=12))
    return items, effects, draw(st.lists(moments, max_size=3))


@given(histories())
def test_it_says_what_trying_everything_says(history: tuple[list[Item], list[Effect], list[int]]) -> None:
    items, effects, cuts = history
    found = account(items, effects, cuts)
    wanted = {it.id: it for it in items if it.owes is not Owes.NONE}
    done = {name for name in wanted if any(effect.id == name for effect in effects)}
    assert {it.id for it in found.lost} == {it.id for it in items if it.owes is Owes.ONE} - done
    assert len(found.phantoms) == sum(effect.id not in wanted for effect in effects)
    assert len(found.doubled) == sum(effect.id in wanted for effect in effects) - len(done)
    assert found.done.keys() == done
    for name, at in found.done.items():
        assert at == min(effect.at_ns for effect in effects if effect.id == name)
    assert {it.id for it in overtaken(items, found.done)} == {
        a.id for a in items if a.id in done
        and any(b.id in done and b.sent_ns > a.accepted_ns and found.done[b.id] < found.done[a.id] for b in items)
    }  # fmt: skip


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_a_correct_line_is_never_accused_and_one_anomaly_always_is(size: int, rng: object) -> None:
    random = rng  # a queue with one worker: done in the order of acceptance, each once
    items, at = [], 0
    for number in range(size):
        sent = at + random.randint(1, 4)  # type: ignore[attr-defined]
        at = sent + random.randint(1, 4)  # type: ignore[attr-defined]
        items.append(Item(str(number), sent, at))
    effects = [Effect(it.id, it.accepted_ns + 50) for it in items]
    clean = account(items, effects)
    assert names(clean) == ([], [], [])
    assert overtaken(items, clean.done) == []
    assert late(items, clean.done, within_ns=50) == []
    victim = random.randrange(size)  # type: ignore[attr-defined]
    assert names(account(items, effects[:victim] + effects[victim + 1 :]))[0] == [str(victim)]
    assert names(account(items, [*effects, effects[victim]]))[1] == [(str(victim), False)]
    assert names(account(items, [*effects, Effect("nobody", 9)]))[2] == ["nobody"]
    slow = {name: at + (60 if name == str(victim) else 0) for name, at in clean.done.items()}
    assert [it.id for it in late(items, slow, within_ns=50)] == [str(victim)]
