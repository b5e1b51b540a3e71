"""Configurations in rows: the part that seeds have in common."""

from nmbench.results import config_json


def test_shared_configurations_equal_parsed_ones():
    configs = config_json.SharedConfigs()
    for text, seed, expected in [
        ('{"a":1,"seed":3}', 3, '{"a":1}'),
        ('{"a":1,"seed":35}', 35, '{"a":1}'),
        ('{"a":1,"seed":3}', 35, '{"a":1}'),
        ('{"seed": 3, "a": 1}', 3, '{"a":1}'),
        ('{"a":{"seed":3}}', 3, '{"a":{"seed":3}}'),
        ('{"a":{"seed":4}}', 4, '{"a":{"seed":4}}'),
        ('{"a":{"seed":3},"seed":3}', 3, '{"a":{"seed":3}}'),
        ('{"a":"\\"seed\\":3,","seed":4}', 4, '{"a":"\\"seed\\":3,"}'),
    ]:
        assert configs.of(text, seed) == expected, text
