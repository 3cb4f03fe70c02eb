"""The operator API as any program would call it: TLS verified against the server's CA, bearer token."""
import http.client
import json
import ssl
import urllib.parse


class OperatorApi:
    def __init__(self, url, ca_file, token):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.token = parts.hostname, parts.port, token
        self.context = ssl.create_default_context(cafile=str(ca_file))

    def request(self, method, path, body=None, headers=None):
        """(status, decoded body). A server that is not there is status 0: the story kills it on purpose."""
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=20)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Authorization": f"Bearer {self.token}",
                                                       "Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, text
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def get(self, path):
        """The body, or None when the server is away or the thing is absent."""
        status, body = self.request("GET", "/api/v1" + path)
        return body if status == 200 else None
