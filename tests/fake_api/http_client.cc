// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>

#include "base/fd.h"

namespace plimsoll::test {
namespace {

Result<Fd> connected(std::uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error(errno, "connect to 127.0.0.1:" + std::to_string(port));
  }
  return fd;
}

bool send_all(const Fd& fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

std::string text_of(const PlainRequest& request) {
  std::string text = request.method + " " + request.target +
                     " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: " +
                     std::to_string(request.body.size()) + "\r\n";
  for (const auto& [name, value] : request.headers) text += name + ": " + value + "\r\n";
  return text + "\r\n" + request.body;
}

Result<HttpResponse> exchange(std::uint16_t port, const PlainRequest& request,
                              const std::atomic<bool>* stop,
                              const std::function<bool(std::string_view)>& on_body) {
  Result<Fd> fd = connected(port);
  if (!fd) return tl::unexpected(fd.error());
  const auto lost = [&] {
    return fail(Code::kUnavailable, request.method + " " + request.target + ": no whole answer");
  };
  if (!send_all(*fd, text_of(request))) return lost();
  MessageReader reader([&](char* buffer, std::size_t size) -> std::size_t {
    pollfd readable{fd->get(), POLLIN, 0};
    while (stop != nullptr && ::poll(&readable, 1, 50) == 0) {
      if (*stop) return 0;
    }
    const ssize_t got = ::recv(fd->get(), buffer, size, 0);
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  });
  std::optional<HttpResponse> response = reader.response(on_body);
  if (!response) return lost();
  return *response;
}

}  // namespace

Result<HttpResponse> plain_exchange(std::uint16_t port, const PlainRequest& request) {
  return exchange(port, request, nullptr, {});
}

Result<HttpResponse> plain_lines(std::uint16_t port, const PlainRequest& request,
                                 const std::atomic<bool>& stop,
                                 const std::function<bool(std::string_view)>& on_line) {
  std::string pending;
  return exchange(port, request, &stop, [&](std::string_view piece) {
    pending += piece;
    for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      const bool more = on_line(std::string_view(pending).substr(0, end));
      pending.erase(0, end + 1);
      if (!more) return false;
    }
    return !stop.load();
  });
}

Result<Json> plain_json(std::uint16_t port, const PlainRequest& request) {
  const Result<HttpResponse> response = plain_exchange(port, request);
  if (!response) return tl::unexpected(response.error());
  Json body = Json::parse(response->body, nullptr, false);
  if (body.is_discarded()) {
    return fail(Code::kMalformed, request.target + ": not JSON: " + response->body);
  }
  return body;
}

}  // namespace plimsoll::test
