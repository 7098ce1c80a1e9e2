"""Reading Horizon's log-in page."""

from __future__ import annotations

from medicarche.testing.dashboard import Choice, domains_offered

PAGE = """<form><input type="hidden" name="csrfmiddlewaretoken" value="x">
<select name="domain" class="form-control" id="id_domain">
  <option value="Default"{default}>Comptes du cloud</option>
  <option value="medicarche"{other}>Annuaire&nbsp;: medicarche</option>
</select></form>"""


def test_a_browser_takes_the_first_domain_unless_the_page_says_another() -> None:
    offered = domains_offered(PAGE.format(default="", other=""))
    assert offered == [
        Choice("Default", "Comptes du cloud", chosen=True),
        Choice("medicarche", "Annuaire\N{NO-BREAK SPACE}: medicarche", chosen=False),
    ]
    offered = domains_offered(PAGE.format(default="", other=" selected"))
    assert [choice.chosen for choice in offered] == [False, True]


def test_a_page_without_the_field_offers_none() -> None:
    assert domains_offered('<form><input name="username"></form>') == []
