#!/bin/sh
# Erlang/OTP: gen_tcp with {packet, 1} or {packet, 2} writes the length of each message before it,
# as the documentation of inet says. A message that is longer than the field can say is sent all
# the same, with the length modulo 256 or 65,536 before it, and send/2 returns ok; the receiver
# takes the rest of the message for the next lengths. Not even a log line tells. Both backends
# (inet and socket) do so, while a port with {packet, 2} refuses such a message with einval.
#
# Seen with Erlang/OTP 25 (erts 13.1.5) as Debian 12 has it; this prints what it sees, and fails
# where that changes. Needs apt-get and dpkg, installs nothing outside its folder.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq 'erlang-base=1:25.2.3+dfsg-1+deb12u4' 2> apt.log || { cat apt.log >&2; exit 1; }
dpkg -x erlang-base_*.deb .
export ROOTDIR="$folder/usr/lib/erlang"
export BINDIR="$ROOTDIR/erts-13.1.5/bin" EMU=beam PROGNAME=erl
cat > wrapped.erl <<'PROGRAM'
-module(wrapped).
-export([main/0]).

main() ->
    io:format("Erlang/OTP ~s, erts ~s~n", [erlang:system_info(otp_release), erlang:system_info(version)]),
    {ok, Listening} = gen_tcp:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listening),
    Tries = [{Backend, Header, Size} || Backend <- [inet, socket],
                                        {Header, Size} <- [{1, 255}, {1, 300}, {2, 65535}, {2, 70000}]],
    lists:foreach(fun(Try) -> try_one(Listening, Port, Try) end, Tries),
    try_port().

try_one(Listening, Port, {Backend, Header, Size}) ->
    Options = [{inet_backend, Backend}, binary, {packet, Header}, {active, false}],
    {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, Options),
    {ok, Server} = gen_tcp:accept(Listening),
    Result = gen_tcp:send(Client, binary:copy(<<"x">>, Size)),
    ok = gen_tcp:close(Client),
    Sent = read(Server, <<>>),
    <<Length:Header/unit:8, Rest/binary>> = Sent,
    io:format("~w, {packet, ~w}, ~w bytes: ~w; length written ~w, bytes behind it ~w~n",
              [Backend, Header, Size, Result, Length, byte_size(Rest)]).

read(Socket, Before) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, More} -> read(Socket, <<Before/binary, More/binary>>);
        {error, closed} -> Before
    end.

try_port() ->
    Cat = open_port({spawn, "cat"}, [binary, {packet, 2}]),
    Result = try port_command(Cat, binary:copy(<<"x">>, 70000)) of
        true -> receive {'EXIT', Cat, Reason} -> Reason after 1000 -> accepted end
    catch error:Reason -> Reason end,
    io:format("a port, {packet, 2}, 70000 bytes: ~w~n", [Result]).
PROGRAM
"$BINDIR/erlexec" -boot "$ROOTDIR/bin/start_clean" -noshell -eval '
    {ok, wrapped} = compile:file("wrapped"), process_flag(trap_exit, true), wrapped:main(), halt().' > seen.txt
cat seen.txt
grep -q "^inet, {packet, 1}, 300 bytes: ok; length written 44, bytes behind it 300" seen.txt
grep -q "^inet, {packet, 2}, 70000 bytes: ok; length written 4464, bytes behind it 70000" seen.txt
grep -q "^socket, {packet, 1}, 300 bytes: ok; length written 44, bytes behind it 300" seen.txt
grep -q "^socket, {packet, 2}, 70000 bytes: ok; length written 4464, bytes behind it 70000" seen.txt
grep -q "^a port, {packet, 2}, 70000 bytes: einval" seen.txt
