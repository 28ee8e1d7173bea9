"""Plain HTTP answers as bytes."""

from __future__ import annotations

from workers.responses import page_response, text_response


def test_a_page_has_its_length_and_ends_the_connection() -> None:
    response = page_response(200, "text/html", b"<p>", {"ETag": "1"})
    assert response.serialize() == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n"
        b"Connection: close\r\nETag: 1\r\n\r\n<p>"
    )


def test_for_head_the_length_alone() -> None:
    response = page_response(200, "text/html", b"<p>", head=True)
    assert response.headers["Content-Length"] == "3"
    assert response.body == b""


def test_not_modified_says_nothing_of_a_body() -> None:
    assert page_response(304, "text/html", b"", {"ETag": "1"}).serialize() == (
        b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: 1\r\n\r\n"
    )


def test_a_line_of_text() -> None:
    response = text_response(404, "none \N{EM DASH} sorry")
    assert (response.status_code, response.reason_phrase) == (404, "Not Found")
    assert response.body == "none \N{EM DASH} sorry\n".encode()
    assert response.headers["Content-Length"] == str(len(response.body))
