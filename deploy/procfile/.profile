# The platform names its Redis in REDIS_URL, and may change it at any restart. Heroku's certificates are
# signed by themselves: TLS encrypts there, and cannot tell who answers. VWO_CELERY_REDIS_URL wins.
case ${REDIS_URL:-} in
    redis*\?*) : "${VWO_CELERY_REDIS_URL:=$REDIS_URL}" ;; # has options of its own
    rediss:*) : "${VWO_CELERY_REDIS_URL:=$REDIS_URL?ssl_cert_reqs=none}" ;;
    redis:*) : "${VWO_CELERY_REDIS_URL:=$REDIS_URL}" ;;
esac
export VWO_CELERY_REDIS_URL
