# The program `jobhook` and nothing else: the server, the command line, and `jobhook exec` for other
# images to copy. From the root of the repository:
#
#   ./just static
#   docker build --file deploy/jobhook.Dockerfile --tag jobhook target/static
#
# The context is the folder that `./just static` fills (below CARGO_TARGET_DIR, if that is set), so that
# neither sources nor the target folder are sent.
FROM scratch
COPY jobhook /jobhook
# Certificates of the machine that builds, for an S3 store or a cluster behind HTTPS. Roots that are
# your own: mount them here, or name them with JOBHOOK_CA_FILE.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# The time zones of schedules.
COPY zoneinfo /usr/share/zoneinfo
# An empty folder that belongs to the user below; a volume that is made from the image does too.
COPY --chown=65532:65532 data /data
# A number, because there is no list of users here, and Kubernetes' runAsNonRoot wants one.
USER 65532:65532
# One below, which the server makes and owns itself: a volume may belong to root.
ENV JOBHOOK_DATA_DIR=/data/jobhook
VOLUME /data
EXPOSE 8088
ENTRYPOINT ["/jobhook"]
CMD ["serve", "--listen", "0.0.0.0:8088"]
