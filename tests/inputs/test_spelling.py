from bulkcmp.inputs.spelling import nearest


def test_the_nearest_name_and_all_names() -> None:
    assert nearest("Subjct", ["id", "subject"]) == "did you mean 'subject'? known are id, subject"
    assert nearest("key-pass", ["id", "key_pass"]).startswith("did you mean 'key_pass'?")


def test_nothing_near() -> None:
    assert nearest("xyz", ["id", "subject"]) == "known are id, subject"
