# Any program as an action, also one that knows nothing of jobhook: `jobhook exec` stands in front of it.
# Its output is the log, its exit code the status. From the root of the repository, with the image of
# deploy/jobhook.Dockerfile:
#
#   docker build --file deploy/any-program.Dockerfile --tag check-links examples/no-sdk
FROM jobhook AS jobhook

FROM python:3.13-alpine
COPY --from=jobhook /jobhook /jobhook
COPY check-links.py /app/check-links.py
USER 65532:65532
ENTRYPOINT ["/jobhook", "exec", "--"]
CMD ["python3", "/app/check-links.py"]
