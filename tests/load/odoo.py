"""People in Odoo: they log in, look at customers, and make quotations."""

from __future__ import annotations

import re
from typing import Any

from locust import task

from medicarche.load.scenario import Person, of

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_MARK = "Essai de charge"


@of("odoo")
class Salesperson(Person):
    """Somebody of the sales."""

    partner = product = 0

    def on_start(self) -> None:
        """Log in through the form, as a browser does, and find a customer and a product to sell."""
        self.quotations: list[int] = []
        user, password = self.login()
        with self.ask("GET", "/web/login", "salesperson's log-in page") as answer:
            token = _TOKEN.search(self.check(answer, 200, page=True))
        if token is None:
            return
        data = {"csrf_token": token[1], "login": user, "password": password, "redirect": ""}
        with self.ask("POST", "/web/login", "salesperson logs in", data=data) as answer:
            if self.check(answer, 303) and "/web/login" in str((answer.headers or {}).get("location", "")):
                answer.failure("the log-in is refused")
        self.partner = self._find_or_make("res.partner", {"name": f"{_MARK} (client)", "is_company": True})
        self.product = self._find_or_make(
            "product.product", {"name": f"{_MARK} (analyse)", "list_price": 250.0, "type": "service"}
        )

    def on_stop(self) -> None:
        """Throw the quotations away: the company's own data stay as they were."""
        if self.quotations:
            self.call("sale.order", "unlink", [self.quotations], "remove quotations")

    @task(2)
    def open_the_web_client(self) -> None:
        """Open the first page after the log-in."""
        with self.ask("GET", "/odoo", "web client") as answer:
            self.check(answer, 200, contains="odoo.__session_info__", page=True)

    @task(6)
    def look_at_customers(self) -> None:
        """Open the list of customers, and one of them."""
        kwargs = {"domain": [], "specification": {"display_name": {}, "email": {}, "phone": {}}, "limit": 80}
        found = self.call("res.partner", "web_search_read", [], "list of customers", kwargs)
        if found and found["records"]:
            number = found["records"][0]["id"]
            self.call("res.partner", "read", [[number], ["name", "email", "street", "city"]], "a customer")

    @task(2)
    def make_a_quotation(self) -> None:
        """Make a quotation of four analyses, and look at its sum."""
        if not self.partner or not self.product:
            return
        line = [0, 0, {"product_id": self.product, "product_uom_qty": 4}]
        values = {"partner_id": self.partner, "order_line": [line]}
        made = self.call("sale.order", "create", [[values]], "make a quotation")
        if made:
            self.quotations += made
            found = self.call("sale.order", "read", [made, ["amount_untaxed", "state"]], "a quotation")
            if found and (found[0]["amount_untaxed"], found[0]["state"]) != (1000.0, "draft"):
                self.environment.events.request.fire(
                    request_type="CHECK",
                    name="a quotation",
                    response_time=0,
                    response_length=0,
                    exception=ValueError("the sum of the quotation is wrong"),
                    context={},
                )

    def call(
        self,
        model: str,
        method: str,
        arguments: list[Any],
        name: str,
        options: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - any JSON
        """Call a model's method as the web client does; an error comes with status 200."""
        params = {"model": model, "method": method, "args": arguments, "kwargs": options or {}}
        body = {"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}
        with self.ask("POST", f"/web/dataset/call_kw/{model}/{method}", name, json=body) as answer:
            found = self.check_json(answer, "result")
        return found["result"] if found else None

    def _find_or_make(self, model: str, values: dict[str, Any]) -> int:
        found = self.call(
            model, "search", [[["name", "=", values["name"]]]], "find what is needed", {"limit": 1}
        )
        if not found:
            found = self.call(model, "create", [[values]], "make what is needed")
        return int(found[0]) if found else 0
