"""How people ask for what tools know: wordings that are trained on (False), and those that training
never sees (True); {c} is a channel."""

from __future__ import annotations

Wordings = dict[bool, tuple[str, ...]]

PASS: Wordings = {
    False: (
        "When is the next pass?",
        "Next pass?",
        "When do we have contact again?",
        "When does the next pass begin?",
        "Which station is next?",
        "How long until the next pass?",
        "When is AOS?",
        "Time to AOS?",
        "Tell me the next pass.",
        "When can we talk again?",
        "When is the next contact?",
        "Over which station is the next pass?",
        "How long is the next pass?",
        "Is there a pass soon?",
        "When is the satellite over a station?",
        "Give me the next contact.",
        "What is the next pass?",
        "Next AOS?",
        "When will we see the satellite again?",
        "Show the next pass.",
    ),
    True: (
        "What time until the next pass?",
        "When do we see a station again?",
        "Next contact?",
        "Give me the next pass.",
        "When does contact begin?",
        "Which station do we see next?",
        "How long until AOS?",
        "Report the next pass.",
    ),
}
AND_PASS: Wordings = {
    False: (
        "And when is the next pass?",
        "Also the next pass.",
        "And the next pass?",
        "When is the next pass?",
        "And when is AOS?",
        "Then tell me the next pass.",
        "And give me the next contact.",
        "Next pass?",
        "Also tell me when the next pass is.",
    ),
    True: (
        "Also, when is the next pass?",
        "And the next contact?",
        "And tell me the next pass.",
        "Also the next AOS.",
    ),
}
TIME_NOW: Wordings = {
    False: (
        "What time is it on board?",
        "Time?",
        "What is the time?",
        "Give me the date and time.",
        "What is the date?",
        "UTC now?",
        "Tell me the time.",
        "Clock?",
        "Read the clock.",
        "What does the clock say?",
        "Date and time please.",
        "What time is it in UTC?",
    ),
    True: (
        "What is the time in UTC?",
        "Tell me the date and time.",
        "Time on board?",
        "What date is it?",
        "Give me the time.",
    ),
}
AND_TIME: Wordings = {
    False: (
        "And what time is it?",
        "And the time?",
        "Also the time.",
        "And tell me the time.",
        "Time?",
        "And the date and time.",
    ),
    True: ("And the time in UTC?", "Also tell me the time.", "And the date?"),
}
SINCE: Wordings = {
    False: (
        "Since when is {c} out of limits?",
        "Since when is {c} in alarm?",
        "How long is {c} out of limits?",
        "When did {c} leave its limits?",
        "Since when has {c} been out of limits?",
        "How long has {c} been in alarm?",
        "When did the alarm of {c} begin?",
        "Since when is {c} wrong?",
        "Since when is {c} not ok?",
        "From when on was {c} out of limits?",
        "When did {c} go out of limits?",
        "Since when is {c} out of range?",
        "Since when is {c} bad?",
        "Is {c} out of limits, and since when?",
        "How long has {c} been bad?",
    ),
    True: (
        "Since when has {c} been in alarm?",
        "When did {c} go out of range?",
        "How long is {c} in alarm?",
        "How long has {c} been out of limits?",
        "Since when does {c} violate its limits?",
    ),
}
TREND: Wordings = {
    False: (
        "How did {c} change?",
        "Show the history of {c}.",
        "How did {c} go?",
        "History of {c}?",
        "Values of {c} over time?",
        "Give me the last values of {c}.",
        "How has {c} changed?",
        "Trend of {c}?",
        "What were the values of {c}?",
        "List the values of {c} over time.",
    ),
    True: (
        "Give me the history of {c}.",
        "Show the last values of {c}.",
        "What is the trend of {c}?",
        "How did {c} develop?",
    ),
}
